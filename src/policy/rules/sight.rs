//! What a rule sees of a text, and where it reports: the traits of one pass, the judged name, the spans taken.

use std::cell::OnceCell;
use std::fmt::Display;
use std::ops::Range;

use super::ending::may_promise;
use super::families::Index;
use super::name::{self, Named};
use super::own::Own;
use super::pairs::Pairs;
use super::text::{
    ALNUM, AT, BASE64, CLASS, DIGIT, DOT, EQUALS, QUERY, QUOTE, SPACE, UNDERSCORE, class_at, class_before,
};
use super::weight::{Weight, weigh};
use super::{Candidate, Hit, Place, RULES, weak_default};

/// A token family's prefix stands at the start of a word. (The lower bits are the classes of `text`.)
pub(super) const TOKEN: u32 = 1 << 20;
/// A word begins as base64 of printable text does.
pub(super) const BASE64_TEXT: u32 = 1 << 21;
/// The name promises a credential.
pub(super) const NAMED: u32 = 1 << 22;
/// The argument before this one is an option whose name promises a credential.
pub(super) const AFTER_OPTION: u32 = 1 << 23;
/// There is a run of letters and digits as long as the last part of a UUID: a random string may be in the text.
pub(super) const LONG_WORD: u32 = 1 << 24;

/// The text is an entry of a Secret's manifest.
pub(super) const SECRET_ENTRY: u32 = 1 << 25;

/// The text may be a file of settings.
pub(super) const FILE: u32 = 1 << 26;

/// The text is a word of a command.
pub(super) const ARGUMENT: u32 = 1 << 27;

/// How long such a run is.
const LONG_RUN: usize = 12;

/// A text with none of these traits is what no rule wants: a word, a path, a host, an image, a plain URL.
const WORTH_A_LOOK: u32 =
    TOKEN | BASE64_TEXT | NAMED | AFTER_OPTION | AT | EQUALS | QUERY | SPACE | QUOTE | SECRET_ENTRY | FILE;
/// A digit says something only beside one of these: else it is a number, a port, a region.
const WORTH_WITH_DIGIT: u32 = LONG_WORD | ARGUMENT;

/// Whether any rule wants a text of these traits: most values of env entries end here.
#[inline]
pub(super) fn is_worth_a_look(traits: u32) -> bool {
    traits & WORTH_A_LOOK != 0 || (traits & DIGIT != 0 && traits & WORTH_WITH_DIGIT != 0)
}

/// Of a longer name the last words decide.
const LONGEST_NAME: usize = 256;

/// Below this length a word is no token: none of the families has a shorter form.
const SHORTEST_TOKEN: usize = 15;
/// Base64 of less text than this holds no credential that is worth decoding.
const SHORTEST_BASE64: usize = 24;

/// A text under judgement.
pub(super) struct Sight<'a> {
    /// The families of tokens, by their first bytes.
    pub(super) index: &'a Index,
    /// What the configuration adds.
    pub(super) own: &'a Own,
    /// Where it stands.
    pub(super) place: Place,
    /// The end of its name, where it has one.
    pub(super) name: Option<&'a [u8]>,
    /// The argument before it.
    pub(super) before: Option<&'a str>,
    /// The text itself, no longer than `SCAN_LIMIT`.
    pub(super) text: &'a [u8],
    traits: u32,
    /// What the name and the value weigh: two rules ask, and it is judged once.
    weight: OnceCell<Option<Weight>>,
}

impl<'a> Sight<'a> {
    /// One pass over the name's end and over the text.
    pub(super) fn new(index: &'a Index, own: &'a Own, candidate: &Candidate<'a>, text: &'a [u8]) -> Self {
        let mut traits = survey(index, text);
        if own.may_start(text) {
            traits |= TOKEN;
        }
        let name = candidate.name.map(|name| &name.as_bytes()[name.len().saturating_sub(LONGEST_NAME)..]);
        if name.is_some_and(|name| may_promise(name) || own.promise(name).is_some()) {
            traits |= NAMED;
        }
        if candidate.before.is_some_and(|before| before.starts_with('-')) {
            traits |= AFTER_OPTION;
        }
        match candidate.place {
            Place::Secret => traits |= SECRET_ENTRY | FILE,
            Place::ConfigMap => traits |= FILE,
            Place::Argument | Place::Command => traits |= ARGUMENT,
            _ => {}
        }
        Self {
            index,
            own,
            place: candidate.place,
            name,
            before: candidate.before,
            text,
            traits,
            weight: OnceCell::new(),
        }
    }

    /// A text that was found encoded in another one: it has a place and nothing else.
    pub(super) fn inner(&self, text: &'a [u8]) -> Self {
        Self {
            index: self.index,
            own: self.own,
            place: self.place,
            name: None,
            before: None,
            text,
            traits: survey(self.index, text) & !BASE64_TEXT
                | if self.own.may_start(text) { TOKEN } else { 0 },
            weight: OnceCell::new(),
        }
    }

    /// What the one pass saw.
    pub(super) fn traits(&self) -> u32 {
        self.traits
    }

    /// What the value weighs under its name, where that promises a credential.
    pub(super) fn weight(&self) -> Option<Weight> {
        *self.weight.get_or_init(|| weigh(self.promise(self.name?)?, self.text, self.place))
    }

    /// What a name promises, by the words of the language or those of the configuration.
    pub(super) fn promise<'n>(&self, name: &'n [u8]) -> Option<Named<'n>> {
        name::judge(name).or_else(|| self.own.promise(name))
    }

    /// The pairs of names and values in the text.
    pub(super) fn pairs(&self) -> Pairs<'a> {
        Pairs::new(self.text, self.own)
    }
}

/// The classes of all bytes of a text, and whether a word in it may begin a token or base64 of text.
fn survey(index: &Index, text: &[u8]) -> u32 {
    let (mut seen, mut before, mut run) = (0, 0, 0_usize);
    // In the last bytes no token can begin: there the loop has nothing to do but to collect classes.
    let (head, tail) = text.split_at(text.len().saturating_sub(SHORTEST_TOKEN - 1));
    for (at, byte) in head.iter().enumerate() {
        let class = CLASS[usize::from(*byte)];
        seen |= class;
        if class & ALNUM == 0 {
            run = 0;
        } else {
            run += 1;
            if run == LONG_RUN {
                seen |= LONG_WORD;
            }
            if before & (ALNUM | DOT | UNDERSCORE) == 0 {
                seen |= start(index, &text[at..]);
            }
        }
        before = class;
    }
    for byte in tail {
        let class = CLASS[usize::from(*byte)];
        seen |= class;
        run = if class & ALNUM == 0 { 0 } else { run + 1 };
        if run == LONG_RUN {
            seen |= LONG_WORD;
        }
    }
    seen
}

/// The traits of a word that begins here, with room for a token.
#[inline]
fn start(index: &Index, rest: &[u8]) -> u32 {
    let mut traits = if index.may_start(rest) { TOKEN } else { 0 };
    if matches!(rest[0], b'I'..=b'Z' | b'a'..=b'f') && begins_base64_text(rest) {
        traits |= BASE64_TEXT;
    }
    traits
}

/// Whether the first bytes are base64 and decode to printable text: a byte below 0x80 begins with one of the first
/// 32 letters of the alphabet, so most words that are no base64 end here.
pub(super) fn begins_base64_text(rest: &[u8]) -> bool {
    let Some(head) = rest.get(..SHORTEST_BASE64) else { return false };
    if !matches!(head[0], b'I'..=b'Z' | b'a'..=b'f')
        || head[..8].iter().any(|b| CLASS[usize::from(*b)] & BASE64 == 0)
    {
        return false;
    }
    let mut decoded = [0; 18];
    head.chunks_exact(4).zip(decoded.chunks_exact_mut(3)).all(|(four, three)| decode_four(four, three))
        && decoded.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
}

/// Decodes four letters of base64 to three bytes.
fn decode_four(four: &[u8], three: &mut [u8]) -> bool {
    let mut bits = 0_u32;
    for &byte in four {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = bits << 6 | u32::from(digit);
    }
    three.copy_from_slice(&bits.to_be_bytes()[1..]);
    true
}

/// So many hits of one text are kept where each of them counts.
pub(super) const MOST_HITS: usize = 256;

/// Calls the rules that are on, in their order, and what is encoded in the text before the first rule by name. With
/// `every`, a rule may strike more than once. Gives whether there was no room for all of it.
pub(super) fn judge(sight: &Sight<'_>, enabled: u32, every: bool, hits: &mut Vec<Hit>) -> bool {
    let first = hits.len();
    let mut sink = Sink { hits, first, enabled, every, reported: 0, current: 0, wrapper: None };
    let mut decoded = sight.traits & BASE64_TEXT == 0;
    for (position, rule) in RULES.iter().enumerate() {
        if !rule.inside && !decoded {
            decoded = true;
            decode(sight, &mut sink);
        }
        sink.run(position, sight);
    }
    let order = |hit: &Hit| (RULES.iter().position(|rule| rule.id == hit.rule.id), hit.span.start);
    hits[first..].sort_by_key(order);
    every && hits.len() - first >= MOST_HITS
}

/// Judges what base64 words of a text decode to, one level deep.
fn decode(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let mut at = 0;
    while at < sight.text.len() {
        let rest = &sight.text[at..];
        if class_at(rest, 0) & ALNUM == 0
            || class_before(sight.text, at) & BASE64 != 0
            || !begins_base64_text(rest)
        {
            at += 1;
            continue;
        }
        let length =
            rest.iter().take_while(|b| CLASS[usize::from(**b)] & BASE64 != 0 || is_line_end(**b)).count();
        if let Some(text) = super::digits::decode_text(&rest[..length]) {
            sink.wrapper = Some(at..at + length);
            let inner = sight.inner(&text);
            for (position, rule) in RULES.iter().enumerate() {
                if rule.inside {
                    sink.run(position, &inner);
                }
            }
            sink.wrapper = None;
        }
        at += length.max(1);
    }
}

/// Base64 that was wrapped has these between its lines.
fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Where rules report: at most one hit per rule, or every one, and none on a part of the text that an earlier hit has taken.
pub(super) struct Sink<'h> {
    hits: &'h mut Vec<Hit>,
    /// Where the hits of this text begin.
    first: usize,
    enabled: u32,
    every: bool,
    reported: u32,
    current: usize,
    /// The base64 word that the text under judgement was decoded from.
    wrapper: Option<Range<usize>>,
}

impl Sink<'_> {
    fn run(&mut self, position: usize, sight: &Sight<'_>) {
        let rule = RULES[position];
        let wanted = rule.needs.iter().any(|need| sight.traits & need == *need);
        if wanted && self.enabled & 1 << position != 0 {
            self.current = position;
            (rule.check)(sight, self);
        }
    }

    /// Whether the current rule has spoken. One that found only what is weak goes on, the switch for that may be off.
    pub(super) fn done(&self) -> bool {
        if self.every {
            return self.hits.len() - self.first >= MOST_HITS;
        }
        self.reported & 1 << self.current != 0
    }

    /// Reports a credential. A `weak` one, which anyone would guess, goes to the rule that has its own switch.
    pub(super) fn strike(&mut self, span: Range<usize>, weak: bool, detail: impl Display) {
        let span = self.wrapper.clone().unwrap_or(span);
        let position = if weak { weak_position() } else { self.current };
        let bit = 1 << position;
        let repeated = if self.every { self.done() } else { self.reported & bit != 0 };
        let mut earlier = self.hits[self.first..].iter().map(|hit| &hit.span);
        if repeated
            || self.enabled & bit == 0
            || earlier.any(|taken| span.start < taken.end && taken.start < span.end)
        {
            return;
        }
        let wrapped = if self.wrapper.is_some() { ", in base64" } else { "" };
        self.reported |= bit;
        self.hits.push(Hit { rule: RULES[position], detail: format!("{detail}{wrapped}"), span });
    }
}

fn weak_position() -> usize {
    RULES.iter().position(|rule| rule.id == weak_default::RULE.id).unwrap_or(0)
}
