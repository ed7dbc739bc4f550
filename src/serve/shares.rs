//! Fair shares of a port: how much of each resource one peer address may hold, and what is kept for API servers.
//!
//! `connection` takes places for connections and handshakes, `intake` for reviews and the bytes of their bodies. An address
//! only adds to a share: a peer with an unknown address is served while there is room, and nothing is trusted because of one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Who sent a request, as far as shares go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where it connects from; IPv4 in IPv6 reads as IPv4.
    pub address: IpAddr,
    /// Whether it may use the reserve: its address is one of the API servers', or it showed a client certificate.
    pub is_api_server: bool,
    /// Whether it showed a certificate of `--client-ca`.
    pub is_verified: bool,
}

impl Default for Peer {
    /// A request that came over no connection of ours, as in tests.
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), is_api_server: false, is_verified: false }
    }
}

/// One resource of a port. Three quarters are for all peers, a quarter is kept for API servers.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    /// The most that one peer holds of the shared part.
    each: usize,
    peers: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// A place in a [`Pool`], free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    /// What it takes of its peer's own share; none for a place in the reserve.
    own: Option<OwnedSemaphorePermit>,
    part: OwnedSemaphorePermit,
}

/// So many peers are remembered; beyond that, those that hold nothing are forgotten.
const PEERS: usize = 1_024;

/// A lock is poisoned only by a panic while it is held; the counts behind it are whole at every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const CLOSED: &str = "a semaphore of a pool is never closed";

impl Pool {
    /// Of `size`, of which one peer gets at most an eighth.
    pub fn new(size: usize) -> Self {
        Self::split(size - size / 4, size / 4, (size / 8).max(1))
    }

    /// With `shared` for all peers, `reserve` for API servers, and `each` as the most of one peer.
    pub fn split(shared: usize, reserve: usize, each: usize) -> Self {
        let part = |size| Arc::new(Semaphore::new(size));
        Self { shared: part(shared), reserve: part(reserve), each, peers: Mutex::default() }
    }

    fn share(&self, peer: &Peer) -> Arc<Semaphore> {
        let mut peers = lock(&self.peers);
        if peers.len() >= PEERS {
            peers.retain(|_, share| Arc::strong_count(share) > 1);
        }
        Arc::clone(peers.entry(peer.address).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }

    /// A place of this size, if there is one now: in the shared part, or for an API server in the reserve.
    pub fn try_take(&self, peer: &Peer, size: u32) -> Option<Place> {
        let shared = || {
            let own = self.share(peer).try_acquire_many_owned(size)?;
            let part = Arc::clone(&self.shared).try_acquire_many_owned(size)?;
            Ok::<_, TryAcquireError>(Place { own: Some(own), part })
        };
        let reserve = || Arc::clone(&self.reserve).try_acquire_many_owned(size).ok();
        match shared() {
            Ok(place) => Some(place),
            Err(_) if peer.is_api_server => Some(Place { own: None, part: reserve()? }),
            Err(_) => None,
        }
    }

    /// The next place that is free. A peer waits for its own share first, so that many waiters of one peer hold up nobody
    /// else.
    pub async fn take(&self, peer: &Peer) -> Place {
        let share = self.share(peer);
        let shared = async {
            let own = share.acquire_owned().await.expect(CLOSED);
            let part = Arc::clone(&self.shared).acquire_owned().await.expect(CLOSED);
            Place { own: Some(own), part }
        };
        let reserve = Arc::clone(&self.reserve);
        let reserve = async {
            let part = reserve.acquire_owned().await.expect(CLOSED);
            Place { own: None, part }
        };
        tokio::select! {
            biased;
            place = shared => place,
            place = reserve, if peer.is_api_server => place,
        }
    }

    /// Whether a peer holds its whole share of the shared part.
    pub fn is_at_its_share(&self, peer: &Peer) -> bool {
        self.share(peer).available_permits() == 0
    }
}

impl Place {
    /// Whether it is in the part that is kept for API servers.
    pub fn is_reserved(&self) -> bool {
        self.own.is_none()
    }

    /// Makes one place of two, where both are in the same part; else gives the other one back.
    pub fn merge(&mut self, other: Self) -> Result<(), Self> {
        match (&mut self.own, other.own) {
            (Some(own), Some(more)) => own.merge(more),
            (None, None) => {}
            (_, own) => return Err(Self { own, part: other.part }),
        }
        self.part.merge(other.part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8, is_api_server: bool) -> Peer {
        Peer { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), is_api_server, is_verified: false }
    }

    /// So many single places a peer gets at once.
    fn fill(pool: &Pool, peer: &Peer) -> Vec<Place> {
        std::iter::from_fn(|| pool.try_take(peer, 1)).collect()
    }

    #[test]
    fn one_peer_gets_an_eighth_and_all_together_three_quarters() {
        let pool = Pool::new(64);
        let held: Vec<Vec<Place>> = (0..8).map(|number| fill(&pool, &peer(number, false))).collect();
        let counts: Vec<usize> = held.iter().map(Vec::len).collect();
        assert_eq!(counts, [8, 8, 8, 8, 8, 8, 0, 0]);
        // What is free again is anybody's.
        drop(held);
        assert_eq!(fill(&pool, &peer(9, false)).len(), 8);
    }

    #[test]
    fn the_reserve_is_for_api_servers_alone() {
        let pool = Pool::new(64);
        let held: Vec<Vec<Place>> = (0..8).map(|number| fill(&pool, &peer(number, false))).collect();
        let places = fill(&pool, &peer(100, true));
        assert_eq!(places.len(), 16);
        assert!(places.iter().all(Place::is_reserved));
        assert!(pool.try_take(&peer(7, false), 1).is_none());
        drop(held);
        // An address only adds: an API server has its share as everybody has.
        assert_eq!(fill(&pool, &peer(100, true)).len(), 8);
    }

    #[test]
    fn a_pool_of_one_serves_whoever_comes_first() {
        let pool = Pool::new(1);
        let place = pool.try_take(&peer(1, false), 1).unwrap();
        assert!(pool.try_take(&peer(2, true), 1).is_none());
        drop(place);
        assert!(pool.try_take(&peer(2, true), 1).is_some());
    }

    #[test]
    fn peers_that_hold_nothing_are_forgotten() {
        let pool = Pool::new(64);
        let kept = pool.try_take(&peer(1, false), 1).unwrap();
        for number in 0..3 * PEERS {
            let number = u32::try_from(number).unwrap();
            let address = IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + number));
            drop(pool.try_take(&Peer { address, ..Peer::default() }, 1).unwrap());
            assert!(lock(&pool.peers).len() <= PEERS + 1);
        }
        assert!(lock(&pool.peers).contains_key(&peer(1, false).address));
        drop(kept);
    }

    #[tokio::test]
    async fn waiters_of_one_peer_hold_up_nobody_else() {
        let pool = Arc::new(Pool::split(2, 0, 1));
        let greedy = pool.take(&peer(1, false)).await;
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { pool.take(&peer(1, false)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let other = pool.take(&peer(2, false)).await;
        assert!(waiting.iter().all(|waiter| !waiter.is_finished()));
        drop((greedy, other));
        for waiter in waiting {
            drop(waiter.await.unwrap());
        }
    }
}
