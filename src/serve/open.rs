//! The connections of a port that are open, and which of them goes first when there is no room for another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::shares::lock;

/// All connections of a port.
#[derive(Debug, Default)]
pub struct Open(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    rows: HashMap<u64, Row>,
}

#[derive(Debug)]
struct Row {
    peer: IpAddr,
    /// Since when it waits for its next request; `None` while one is answered, and when it was told to close.
    idle_since: Option<Instant>,
    /// Whether its place is one that is kept for API servers.
    is_reserved: bool,
    close: Arc<Notify>,
}

/// One connection, which is not open any more when this is dropped.
#[derive(Debug)]
pub struct Entry {
    all: Arc<Open>,
    number: u64,
    close: Arc<Notify>,
}

impl Open {
    /// Adds a connection, which is idle until its first request.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, is_reserved: bool) -> Entry {
        let close = Arc::new(Notify::new());
        let row = Row { peer, idle_since: Some(Instant::now()), is_reserved, close: Arc::clone(&close) };
        let mut table = lock(&self.0);
        let number = table.next;
        table.next += 1;
        table.rows.insert(number, row);
        Entry { all: Arc::clone(self), number, close }
    }

    /// Tells the longest idle connection to close: of this peer, or of the peer that has most of them. Those in the reserve
    /// stay. Gives whether there was one.
    pub fn close_one(&self, of: Option<IpAddr>) -> bool {
        let mut table = lock(&self.0);
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for row in table.rows.values().filter(|row| !row.is_reserved) {
            *counts.entry(row.peer).or_default() += 1;
        }
        let idle = |row: &&mut Row| {
            !row.is_reserved && row.idle_since.is_some() && of.is_none_or(|peer| peer == row.peer)
        };
        let rank = |row: &&mut Row| (std::cmp::Reverse(counts.get(&row.peer).copied()), row.idle_since);
        let Some(row) = table.rows.values_mut().filter(idle).min_by_key(rank) else { return false };
        row.idle_since = None;
        row.close.notify_one();
        true
    }
}

impl Entry {
    /// A request has come, or is answered.
    pub fn set_idle(&self, is_idle: bool) {
        if let Some(row) = lock(&self.all.0).rows.get_mut(&self.number) {
            row.idle_since = is_idle.then(Instant::now);
        }
    }

    /// Returns when the connection is to close.
    pub async fn told_to_close(&self) {
        self.close.notified().await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.all.0).rows.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;

    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    fn is_told(entry: &Entry) -> bool {
        entry.told_to_close().now_or_never().is_some()
    }

    #[tokio::test]
    async fn the_longest_idle_of_the_peer_with_most_goes_first() {
        let all = Arc::new(Open::default());
        let few = all.enter(peer(1), false);
        let many: Vec<Entry> = (0..3).map(|_| all.enter(peer(2), false)).collect();
        let reserved: Vec<Entry> = (0..9).map(|_| all.enter(peer(3), true)).collect();
        many[0].set_idle(false);
        assert!(all.close_one(None));
        assert_eq!([0, 1, 2].map(|number| is_told(&many[number])), [false, true, false]);
        // Each is told once.
        assert!(all.close_one(None));
        assert!(is_told(&many[2]));
        // The one at work stays, and then it is the turn of others.
        assert!(all.close_one(None));
        assert!(is_told(&few));
        assert!(!all.close_one(None));
        many[0].set_idle(true);
        assert!(!all.close_one(Some(peer(1))));
        assert!(all.close_one(Some(peer(2))));
        assert!(reserved.iter().all(|entry| !is_told(entry)));
        drop((few, many, reserved));
        assert!(lock(&all.0).rows.is_empty());
    }
}
