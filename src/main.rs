//! `refgate`: parses the command line, starts the subcommand, prints what went wrong once, and ends with its exit code.

mod args;

use std::io::{self, Write as _};
use std::process::ExitCode;

use args::Command;
use clap::Parser as _;
use refgate::{cli, cluster, serve};

/// musl's own allocator doubles the time of a review.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(args::Args::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Where standard error is gone there is nobody left to tell.
            let _ = writeln!(anstream::stderr(), "refgate: {}", cluster::chain(error.as_ref()));
            ExitCode::from(cli::UNREADABLE)
        }
    }
}

fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Serve(args) => Ok(serve::run(args.options(), &mut io::stdout()).map(|()| cli::CLEAN)?),
        Command::Sync(args) => cli::sync::run(args.task()),
        Command::Check(args) => cli::check::run(&args.options()),
        Command::Render(args) => cli::render::run(&args.options()),
        Command::Scan(args) => cli::scan::run(&args.options()),
        Command::Bind(args) => cli::bind::run(&args.options()),
        Command::Iam(args) => cli::iam::run(&args.options()),
        Command::Put(args) => cli::put::run(&args.options()),
        Command::Carriers(args) => cli::carriers::run(args.shown().as_deref()),
        Command::Rules(args) => cli::rules::run(args.shown().as_deref()),
    }
}
