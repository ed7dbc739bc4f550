//! `refgate put` on a terminal: a pseudo-terminal that is the child's own, so that keys become signals as they do for people.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::{PATH, PLANTED, secrets, stored};
use crate::harness::Folder;

/// Somebody at a keyboard, who has started `put`.
struct Person {
    master: File,
    child: Child,
    screen: String,
}

impl Person {
    fn new(folder: &Folder, arguments: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = || Stdio::from(ioctl_tiocgptpeer(&master, flags).unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_refgate"), "put"]).args(arguments);
        command
            .env("HOME", folder.path("home"))
            .env_remove("KUBECONFIG")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        drop(command);
        Self { master: File::from(master), child, screen: String::new() }
    }

    /// Reads the screen until it shows this, or nobody writes on it any more.
    fn sees(&mut self, text: &str) -> bool {
        let mut buffer = [0; 1024];
        while !self.screen.contains(text) {
            match self.master.read(&mut buffer) {
                Ok(count @ 1..) => self.screen.push_str(&String::from_utf8_lossy(&buffer[..count])),
                // The other side is closed.
                _ => return false,
            }
        }
        true
    }

    fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn ends(&mut self) -> ExitStatus {
        self.sees("nothing that anybody writes");
        self.child.wait().unwrap()
    }
}

#[test]
fn a_value_that_is_typed_is_not_shown() {
    let folder = Folder::new();
    let file = secrets(&folder);
    let mut person = Person::new(&folder, &[PATH, "--file", file.to_str().unwrap()]);
    assert!(person.sees("and Enter: "), "{}", person.screen);
    assert!(person.screen.contains("may read"), "who reads it is said before: {}", person.screen);
    assert!(!person.shows_what_is_typed());
    person.types(&format!("{PLANTED} \u{7f}\n"));
    assert!(person.ends().success(), "{}", person.screen);
    // As it was typed, with the last blank taken back, and without the end of the line.
    assert_eq!(stored(&file)[PATH]["value"], PLANTED);
    assert!(!person.screen.contains(&PLANTED[..4]), "{}", person.screen);
    assert!(person.screen.contains(&format!("{PATH} ")) && person.shows_what_is_typed(), "{}", person.screen);
}

#[test]
fn a_terminal_shows_what_is_typed_again_however_put_ends() {
    for (keys, said) in [
        // Ctrl-C, Ctrl-\ and Ctrl-D.
        ("kR4v\u{3}", "interrupted"),
        ("kR4v\u{1c}", "interrupted"),
        ("\u{4}", "holds no value"),
        ("\n", "holds no value"),
    ] {
        let folder = Folder::new();
        let file = secrets(&folder);
        let mut person = Person::new(&folder, &[PATH, "--file", file.to_str().unwrap()]);
        assert!(person.sees("and Enter: "), "{}", person.screen);
        person.types(keys);
        assert_eq!(person.ends().code(), Some(2), "{keys:?}: {}", person.screen);
        assert!(person.screen.contains(said), "{keys:?}: {}", person.screen);
        assert!(!person.screen.contains("kR4v"), "{}", person.screen);
        assert!(person.shows_what_is_typed(), "{keys:?}");
        assert_eq!(stored(&file), serde_json::json!({}), "{keys:?}");
    }
}

#[test]
fn a_line_that_a_terminal_cuts_is_not_stored() {
    let folder = Folder::new();
    let file = secrets(&folder);
    let mut person = Person::new(&folder, &[PATH, "--file", file.to_str().unwrap()]);
    assert!(person.sees("and Enter: "), "{}", person.screen);
    person.types(&format!("{}\n", "x".repeat(5_000)));
    assert_eq!(person.ends().code(), Some(2), "{}", person.screen);
    assert!(person.screen.contains("cuts lines at 4096 bytes"), "{}", person.screen);
    assert_eq!(stored(&file), serde_json::json!({}));
}
