//! A process beside the tests that never outlives them, however they end.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::wait::until_within;

/// Runs the program and reads names of signals for it. When nothing can come any more, because the tests are done, have
/// failed, were interrupted or killed, the kernel closes the pipe, and the program goes too.
const SUPERVISOR: &str = r#"
log=$1; shift
exec 3<&0
"$@" </dev/null 3<&- >>"$log" 2>&1 &
child=$!
echo "$child"
exec >/dev/null 2>&1
{ while read -r signal; do kill -s "$signal" "$child"; done; kill -s KILL "$child"; } <&3 &
watch=$!
exec 3<&-
wait "$child"
status=$?
kill "$watch"
exit "$status"
"#;

pub struct Process {
    name: String,
    supervisor: Child,
    /// Open as long as the program may live.
    signals: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, in a process group of its own: a Ctrl-C is for the tests, and reaches it through them.
    pub fn start(name: &str, program: &Path, arguments: &[String], log: &Path) -> Self {
        Self::start_by(Command::new("/bin/sh"), name, program, arguments, log)
    }

    /// The same with these variables in its environment, and no other.
    pub fn start_in(
        environment: &[(&str, String)],
        name: &str,
        program: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        command.env_clear().envs(environment.iter().map(|(key, value)| (key, value)));
        Self::start_by(command, name, program, arguments, log)
    }

    fn start_by(mut command: Command, name: &str, program: &Path, arguments: &[String], log: &Path) -> Self {
        command.args(["-c", SUPERVISOR, name]).arg(log).arg(program).args(arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut supervisor = command.spawn().unwrap();
        let signals = supervisor.stdin.take();
        let mut line = String::new();
        BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("{name} did not start: {line}"));
        Self { name: name.to_owned(), supervisor, signals, pid, log: log.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn signal(&mut self, signal: &str) {
        let signals = self.signals.as_mut().unwrap();
        writeln!(signals, "{signal}").unwrap_or_else(|error| panic!("{} is gone: {error}", self.name));
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().unwrap()
    }

    /// Fails with the last lines of its log when it is not running.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.ended() {
            panic!("{} ended ({status}):\n{}", self.name, self.last_lines());
        }
    }

    fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// SIGTERM, and then its end, which must come in time.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        until_within(&format!("{} stops", self.name), Duration::from_secs(60), || self.ended())
    }

    /// What it has computed since it started, in user and kernel mode; exact to a hundredth of a second.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        // The name of the program, which may hold blanks, ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever was.
    pub fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.signals.take());
        // It has been told; what is left is to collect it.
        let _ = self.supervisor.wait();
    }
}

/// A port on loopback that nobody listens on. Below those that outgoing connections take, so that it stays free until
/// the program that it is for has it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    for _ in 0..12_000 {
        let port = 20_000 + (start - 20_000 + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on loopback");
}
