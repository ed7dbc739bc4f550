//! A sorted list in pieces that versions of it share: a change copies one piece and the list of them, whatever the length.

use std::slice::Iter;
use std::sync::Arc;

/// Most elements of a piece: a change copies about as many as there are pieces in a list of some ten thousand.
const LARGEST: usize = 256;

/// A sorted list. What the order is, whoever asks says each time, and always the same.
#[derive(Debug, Clone)]
pub struct Pieces<T>(Vec<Arc<[T]>>);

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Two lists are one where their elements are, however they are cut.
impl<T: PartialEq> PartialEq for Pieces<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T> Pieces<T> {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.len()).sum()
    }

    /// All elements.
    pub fn iter(&self) -> Behind<'_, T> {
        Behind { piece: Default::default(), rest: self.0.iter() }
    }

    /// The elements behind those that come before something.
    pub fn from(&self, is_before: impl Fn(&T) -> bool) -> Behind<'_, T> {
        let (piece, index) = self.position(is_before);
        let first = self.0.get(piece).map(|piece| &piece[index..]).unwrap_or_default();
        Behind { piece: first.iter(), rest: self.0.get(piece + 1..).unwrap_or_default().iter() }
    }

    /// The piece and the place in it where those that come before something end.
    fn position(&self, is_before: impl Fn(&T) -> bool) -> (usize, usize) {
        let piece = self.0.partition_point(|piece| piece.last().is_some_and(&is_before));
        let index = self.0.get(piece).map_or(0, |piece| piece.partition_point(is_before));
        (piece, index)
    }
}

/// The elements from some place on.
#[derive(Debug)]
pub struct Behind<'p, T> {
    piece: Iter<'p, T>,
    rest: Iter<'p, Arc<[T]>>,
}

impl<T> Clone for Behind<'_, T> {
    fn clone(&self) -> Self {
        Self { piece: self.piece.clone(), rest: self.rest.clone() }
    }
}

impl<'p, T> Iterator for Behind<'p, T> {
    type Item = &'p T;

    fn next(&mut self) -> Option<&'p T> {
        loop {
            match self.piece.next() {
                Some(element) => return Some(element),
                None => self.piece = self.rest.next()?.iter(),
            }
        }
    }
}

impl<T: Clone> Pieces<T> {
    /// Of what is sorted already.
    pub fn new(sorted: &[T]) -> Self {
        Self(sorted.chunks(LARGEST / 2).map(Arc::from).collect())
    }

    /// Puts an element behind those that come before it.
    pub fn insert(&mut self, element: T, is_before: impl Fn(&T) -> bool) {
        let (piece, index) = self.position(is_before);
        // Behind everything the last piece takes it.
        let (piece, index) = match self.0.len().checked_sub(1) {
            None => return self.0.push(Arc::from([element])),
            Some(last) if piece > last => (last, self.0[last].len()),
            Some(_) => (piece, index),
        };
        let (head, tail) = self.0[piece].split_at(index);
        let all: Vec<T> = head.iter().cloned().chain([element]).chain(tail.iter().cloned()).collect();
        if all.len() <= LARGEST {
            self.0[piece] = all.into();
        } else {
            let halves = all.chunks(LARGEST / 2 + 1).map(Arc::from);
            self.0.splice(piece..=piece, halves);
        }
    }

    /// Takes out the first element that does not come before something, if it is what is meant.
    pub fn remove(&mut self, is_before: impl Fn(&T) -> bool, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let (piece, index) = self.position(is_before);
        let old = self.0.get(piece)?.get(index).filter(|element| is_it(element))?.clone();
        let (head, tail) = self.0[piece].split_at(index);
        let rest: Arc<[T]> = head.iter().chain(&tail[1..]).cloned().collect();
        if rest.is_empty() {
            self.0.remove(piece);
        } else {
            self.0[piece] = rest;
        }
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain sorted list, through enough changes that pieces are cut and go.
    #[test]
    fn it_is_a_sorted_list() {
        let mut plain: Vec<u32> = (0..1_000).map(|number| number * 2).collect();
        let mut pieces = Pieces::new(&plain);
        let mut number = 7_u32;
        for step in 0..6_000 {
            number = number.wrapping_mul(48_271) % 2_147_483_647;
            let wanted = number % 3_000;
            let before = pieces.clone();
            if step % 3 > 0 && step < 3_000 {
                let at = plain.partition_point(|known| *known < wanted);
                plain.insert(at, wanted);
                pieces.insert(wanted, |known| *known < wanted);
            } else {
                let at = plain.iter().position(|known| *known == wanted);
                let removed = at.map(|at| plain.remove(at));
                assert_eq!(pieces.remove(|known| *known < wanted, |known| *known == wanted), removed);
                assert_eq!(before == pieces, removed.is_none());
            }
            if step % 100 == 0 {
                assert!(pieces.iter().eq(plain.iter()) && pieces.len() == plain.len(), "{step}");
            }
            let at = plain.partition_point(|known| *known < wanted);
            assert!(pieces.from(|known| *known < wanted).take(5).eq(plain[at..].iter().take(5)));
        }
        assert!(pieces.iter().eq(plain.iter()));
        for wanted in plain {
            assert_eq!(pieces.remove(|known| *known < wanted, |_| true), Some(wanted));
        }
        assert!(pieces.is_empty() && pieces.from(|_| false).next().is_none());
    }
}
