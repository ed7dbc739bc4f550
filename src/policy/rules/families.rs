//! The shape language of token families, the index over their prefixes, and the matcher.
//!
//! A shape is a literal prefix and a few runs of an alphabet with literals between them: enough for every vendor's
//! format, and matched in linear time without a regex engine. The table itself is in `shapes`.

use super::digits;
use super::shapes::FAMILIES;
use super::text::{ALNUM, DOT, HYPHEN, UNDERSCORE, URL64, class_before, longest_repeat};

/// A piece of a shape after its prefix.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// These very bytes.
    Text(&'static str),
    /// So many bytes of an alphabet: all that there are, unless the two bounds are equal and another piece follows.
    Run(u32, usize, usize),
}

/// What must hold of a token besides its shape.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    /// It is not filler.
    Filler,
    /// Its last six letters are a CRC-32 in base 62.
    Crc62,
    /// Grafana's eight digits.
    Grafana,
    /// Bech32.
    Bech32,
    /// It holds this: a constant that the vendor puts into each of its tokens.
    Holds(&'static str),
    /// It ends so.
    Ends(&'static str),
    /// It has at least this many digits: words with hyphens do not.
    Digits(usize),
    /// Its first segment is the header of a JWT.
    Jwt,
}

/// A vendor's format.
#[derive(Debug)]
pub(super) struct Family {
    /// What it is, with its article, for a message.
    pub(super) label: &'static str,
    /// What each of its tokens begins with.
    pub(super) prefix: &'static str,
    /// What follows.
    pub(super) parts: &'static [Part],
    /// What else must hold.
    pub(super) check: Check,
    /// Whether the shape alone is proof enough, or half of a pair, or one that other things have, too.
    pub(super) certain: bool,
}

/// The families by their first bytes.
#[derive(Debug)]
pub(super) struct Index {
    /// For each first byte, the set of second bytes, each by its lower six bits.
    seconds: [u64; 256],
    /// Positions in `FAMILIES`, sorted by first byte.
    order: Vec<u16>,
    /// For each first byte, where its families are in `order`.
    bounds: [(u16, u16); 256],
}

impl Index {
    /// Sorts the table by first byte.
    pub(super) fn new() -> Self {
        let mut order: Vec<u16> = (0..FAMILIES.len() as u16).collect();
        let first = |position: &u16| FAMILIES[usize::from(*position)].prefix.as_bytes()[0];
        order.sort_by_key(first);
        let mut index = Self { seconds: [0; 256], order, bounds: [(0, 0); 256] };
        for (at, position) in index.order.iter().enumerate() {
            let prefix = FAMILIES[usize::from(*position)].prefix.as_bytes();
            let byte = usize::from(prefix[0]);
            index.seconds[byte] |= 1 << (prefix[1] & 63);
            if index.bounds[byte].1 == 0 {
                index.bounds[byte].0 = at as u16;
            }
            index.bounds[byte].1 = at as u16 + 1;
        }
        index
    }

    fn families(&self, first: u8) -> impl Iterator<Item = &'static Family> {
        let (from, to) = self.bounds[usize::from(first)];
        self.order[usize::from(from)..usize::from(to)]
            .iter()
            .map(|position| &FAMILIES[usize::from(*position)])
    }

    /// Whether a family's prefix, or the landmark of a shape without one, stands here.
    pub(super) fn may_start(&self, rest: &[u8]) -> bool {
        let [first, second, ..] = rest else { return false };
        let listed = self.seconds[usize::from(*first)] >> (second & 63) & 1 == 1;
        (listed && self.families(*first).any(|family| rest.starts_with(family.prefix.as_bytes())))
            || super::token::landmark(rest)
    }

    /// The family of which a token begins at a position, and where it ends.
    pub(super) fn token_at(
        &self,
        runs: &mut Runs<'_>,
        at: usize,
        certain: bool,
    ) -> Option<(&'static Family, usize)> {
        let text = runs.text;
        let first = *text.get(at)?;
        if class_before(text, at) & (ALNUM | DOT | UNDERSCORE) != 0 {
            return None;
        }
        self.families(first)
            .filter(|family| family.certain == certain)
            .find_map(|family| Some((family, family.match_at(runs, at)?)))
    }
}

impl Family {
    /// Where a token of this family ends that begins at a position.
    fn match_at(&self, runs: &mut Runs<'_>, at: usize) -> Option<usize> {
        let text = runs.text;
        if !text[at..].starts_with(self.prefix.as_bytes()) {
            return None;
        }
        // Every `-eyJ` of one long run would else have its header decoded.
        if matches!(self.check, Check::Jwt) && class_before(text, at) & HYPHEN != 0 {
            return None;
        }
        let mut end = at + self.prefix.len();
        for (position, part) in self.parts.iter().enumerate() {
            end = match *part {
                Part::Text(literal) => {
                    text[end..].starts_with(literal.as_bytes()).then(|| end + literal.len())?
                }
                Part::Run(alphabet, least, most) => {
                    let length = runs.end(end, alphabet) - end;
                    let last = position + 1 == self.parts.len();
                    let taken = if least == most && !last { length.min(most) } else { length };
                    (least..=most).contains(&taken).then(|| end + taken)?
                }
            };
        }
        self.agrees(&text[at..end]).then_some(end)
    }

    /// Whether a string of the right shape is a token and not filler.
    fn agrees(&self, token: &[u8]) -> bool {
        let body = &token[self.prefix.len()..];
        match self.check {
            Check::Crc62 => digits::crc62_agrees(body),
            Check::Grafana => digits::grafana_agrees(token),
            Check::Bech32 => digits::bech32_agrees(token),
            Check::Jwt => token.split(|byte| *byte == b'.').next().is_some_and(digits::is_jwt_header),
            Check::Holds(constant) => {
                memchr::memmem::find(body, constant.as_bytes()).is_some() && !is_filler(body)
            }
            Check::Ends(constant) => body.ends_with(constant.as_bytes()) && !is_filler(body),
            Check::Digits(least) => {
                body.iter().filter(|b| b.is_ascii_digit()).count() >= least && !is_filler(body)
            }
            Check::Filler => !is_filler(body),
        }
    }
}

/// Whether the body of a token was typed to fill the place: one letter held down, or the word that documentation uses.
pub(super) fn is_filler(body: &[u8]) -> bool {
    longest_repeat(body) >= 8.min(body.len().max(2) / 2 + 1)
        || body.ends_with(b"EXAMPLE")
        || memchr::memmem::find(body, b"EXAMPLEKEY").is_some()
        || body.windows(4).any(|four| four.eq_ignore_ascii_case(b"xxxx"))
}

/// Ends of runs, remembered: many prefixes inside one long run would else each walk to its end.
pub(super) struct Runs<'t> {
    /// The text.
    pub(super) text: &'t [u8],
    memory: [(u32, usize, usize); 8],
    next: usize,
}

impl<'t> Runs<'t> {
    /// Nothing is known yet.
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, memory: [(0, 0, 0); 8], next: 0 }
    }

    /// The end of the run of an alphabet from a position on.
    pub(super) fn end(&mut self, from: usize, alphabet: u32) -> usize {
        for (known, start, end) in &self.memory {
            if *known == alphabet && (*start..*end).contains(&from) {
                return *end;
            }
        }
        let end = super::text::run_end(self.text, from, alphabet);
        self.memory[self.next] = (alphabet, from, end);
        self.next = (self.next + 1) % self.memory.len();
        end
    }
}

/// Whether a text that claims to be a token of a family with check digits, or is typed to fill a place, is filler.
/// It clears a name: whoever writes it has not written a credential.
pub(super) fn is_fake(text: &[u8]) -> bool {
    let mut runs = Runs::new(text);
    FAMILIES.iter().any(|family| {
        matches!(family.check, Check::Crc62)
            && text.starts_with(family.prefix.as_bytes())
            && runs.end(0, URL64) == text.len()
            && family.match_at(&mut runs, 0).is_none()
    })
}
