//! Waiting for the thing itself: looked at again and again until it is there, or for too long.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until there is something. Long enough for a slow machine: a test that passes never waits so long.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(what, Duration::from_secs(90), look)
}

/// The same with a deadline of its own.
pub fn until_within<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < deadline, "{what}: not within {} seconds", deadline.as_secs());
        std::thread::sleep(PAUSE);
    }
}
