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
    /// It has at least this many digits, and its last part is long enough to be the secret one.
    Parts(usize),
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

/// The families by their first two bytes.
#[derive(Debug)]
pub(super) struct Index {
    /// Positions in `FAMILIES`, sorted by slot.
    order: Vec<u16>,
    /// For each slot, where its families are in `order`. Nearly every slot is empty or has one.
    bounds: [(u16, u16); SLOTS],
}

/// How many slots there are: enough that few words of a language share one with a prefix.
const SLOTS: usize = 1024;

/// The slot of two bytes. Prefixes are ASCII, and so are nearly all texts.
fn slot(first: u8, second: u8) -> usize {
    (usize::from(first) << 5 ^ usize::from(second)) % SLOTS
}

impl Index {
    /// Sorts the table into slots.
    pub(super) fn new() -> Self {
        let slot_of = |position: &u16| match FAMILIES[usize::from(*position)].prefix.as_bytes() {
            [first, second, ..] => slot(*first, *second),
            _ => 0,
        };
        let mut order: Vec<u16> = (0..FAMILIES.len() as u16).collect();
        order.sort_by_key(slot_of);
        let mut bounds = [(0, 0); SLOTS];
        for (at, position) in order.iter().enumerate() {
            let bound = &mut bounds[slot_of(position)];
            if bound.1 == 0 {
                bound.0 = at as u16;
            }
            bound.1 = at as u16 + 1;
        }
        Self { order, bounds }
    }

    #[inline]
    fn families(&self, rest: &[u8]) -> impl Iterator<Item = &'static Family> {
        let (from, to) = match rest {
            [first, second, ..] => self.bounds[slot(*first, *second)],
            _ => (0, 0),
        };
        self.order[usize::from(from)..usize::from(to)]
            .iter()
            .map(|position| &FAMILIES[usize::from(*position)])
    }

    /// Whether a family's prefix, or the landmark of a shape without one, stands here.
    pub(super) fn may_start(&self, rest: &[u8]) -> bool {
        self.families(rest).any(|family| rest.starts_with(family.prefix.as_bytes()))
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
        if class_before(text, at) & (ALNUM | DOT | UNDERSCORE) != 0 {
            return None;
        }
        self.families(&text[at..])
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
            Check::Parts(least) => {
                let last = body.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                last >= 8 && body.iter().filter(|b| b.is_ascii_digit()).count() >= least && !is_filler(body)
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
