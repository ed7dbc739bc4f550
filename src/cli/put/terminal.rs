//! A value from the keyboard: one line, which the screen does not show.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::thread;

use anyhow::{Context as _, bail};
use rustix::io::{Errno, ioctl_fionread};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Longest line that a terminal hands on, its end included (Linux `N_TTY_BUF_SIZE`): the rest of a longer one is lost.
const MAX_LINE_BYTES: usize = 4096;

/// A terminal that shows nothing of what is typed, until this goes.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn new() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // With it goes what was typed or pasted besides: the shell would take it for a command, and keep it.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
        let _ = writeln!(io::stderr());
    }
}

/// Asks for a value, without the end of its line. Dropped, as after Ctrl-C, it leaves the terminal as it was.
pub async fn ask(path: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let hidden = Hidden::new().context("the terminal cannot be kept from showing the value")?;
    // Whoever cannot read the prompt cannot answer it.
    write!(io::stderr(), "refgate: value of {path}, which is not shown, and Enter: ")?;
    let (send, line) = oneshot::channel();
    // A thread that waits for a keyboard holds nobody up: the process may end.
    thread::spawn(move || send.send(read_line()));
    let (mut line, rest) = line.await.context("the terminal")?.context("the terminal")?;
    drop(hidden);
    if rest > 0 {
        bail!(
            "more than one line came in, and nothing was stored; pipe a value of several lines in: refgate put {path} < FILE"
        );
    }
    if line.len() + 1 >= MAX_LINE_BYTES {
        bail!(
            "a terminal cuts lines at {MAX_LINE_BYTES} bytes, and nothing was stored; pipe a long value in: refgate put {path} < FILE"
        );
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

/// A line, and how many bytes of further lines there are already.
fn read_line() -> rustix::io::Result<(Zeroizing<Vec<u8>>, u64)> {
    let stdin = io::stdin();
    let mut line = Zeroizing::new(vec![0; MAX_LINE_BYTES]);
    let mut length = 0;
    while length < line.len() && line[..length].last() != Some(&b'\n') {
        match rustix::io::read(stdin.as_fd(), &mut line[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    line.truncate(length);
    Ok((line, ioctl_fionread(stdin.as_fd())?))
}

/// Waits for a signal that ends the process; from the first call on, none ends it by itself.
pub async fn interrupted() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = quit.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
