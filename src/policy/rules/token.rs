//! Rule `token`: tokens that say themselves what they are, by their vendor's prefix, shape and check digits.

use super::families::{Runs, is_filler};
use super::shapes::{LANDMARKS, Landmark};
use super::sight::{Sight, Sink, TOKEN};
use super::text::{ALNUM, CLASS, DIGIT, URL64, all, class_at, class_before};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "token",
    summary: "a token with its vendor's own shape (GitHub, GitLab, npm, Slack, Stripe, JWT and many more)",
    reason: "a token of a known vendor is written into the object",
    certainty: Certainty::Certain,
    // The prefixes are written apart, so that scanners of this repository see no tokens in it.
    examples: &[
        Example::env("GREETING", concat!("gh", "p_R7fGq2LxVb9NcT4mZsK8yWdH3pJu6E3x8pw8")),
        Example::env("NPM_TOKEN", concat!("np", "m_R7fGq2LxVb9NcT4mZsK8yWdH3pJu6E3x8pw8")),
        Example::env("GRAFANA", concat!("gl", "sa_Zq8mT3vLx0RbNc5WdKy7HsPf2GjUa9Ei_0275b8b7")),
        Example::argument(concat!("--auth=", "gl", "pat-Zq8mT3vLx0RbNc5WdKy7")),
        Example::env("PAYMENT", concat!("sk", "_live_Zq8mT3vLx0RbNc5WdKy7HsPf")),
        Example::env(
            "ID",
            concat!(
                "ey",
                "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
                "ey",
                "JzdWIiOiJyZWZnYXRlIn0.Zq8mT3vLx0RbNc5WdKy7HsPf2GjUa9Ei"
            ),
        ),
        Example::env("BOT", concat!("48395748", "13:AAFD39kkdpWt3ywyRZergyOLMaJhac61qcZ")),
    ],
    counter_examples: &[
        // A wrong check digit.
        Example::env("GREETING", concat!("gh", "p_R7fGq2LxVb9NcT4mZsK8yWdH3pJu6E3x8pw9")),
        Example::env("GITHUB_TOKEN", concat!("gh", "p_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")),
        Example::env("SLACK", "xoxb-your-bot-token-goes-here"),
        // Three segments, the first of them no JSON.
        Example::env("HOST", "eyJ.example.internal.cluster.local"),
        Example::env("STRIPE_MODE", "sk_live_"),
    ],
    inside: true,
    needs: &[TOKEN],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    find(sight, sink, true);
}

/// Reports the tokens of a text whose shape is certain, or those whose shape is not.
pub(super) fn find(sight: &Sight<'_>, sink: &mut Sink<'_>, certain: bool) {
    if certain {
        sight.own.find(sight.text, &mut |span, name| {
            sink.strike(span, false, format_args!("a token of shape {name}"))
        });
    }
    let mut runs = Runs::new(sight.text);
    let mut at = 0;
    while at < sight.text.len() && !sink.done() {
        if class_at(sight.text, at) & ALNUM == 0 || class_before(sight.text, at) & ALNUM != 0 {
            at += 1;
        } else if let Some((family, end)) = sight.index.token_at(&mut runs, at, certain) {
            sink.strike(at..end, false, family.label);
            at = end;
        } else if let Some((from, end, label)) = landmark_token(sight.text, at).filter(|_| certain) {
            sink.strike(from..end, false, label);
            at = end;
        } else {
            at += 1;
        }
    }
}

/// No token without a prefix is shorter.
const SHORTEST_LANDMARK: usize = 36;

/// Whether the landmark of a shape that has no prefix stands where it must, seen from the start of a word.
pub(super) fn landmark(rest: &[u8]) -> bool {
    rest.len() >= SHORTEST_LANDMARK
        && (LANDMARKS.iter().any(|landmark| stands(landmark, rest)) || is_telegram(rest))
}

fn stands(landmark: &Landmark, rest: &[u8]) -> bool {
    rest.get(landmark.offset..).is_some_and(|tail| tail.starts_with(landmark.text.as_bytes()))
}

/// A token that is known by a constant at a fixed place, or by digits, a colon and 35 letters.
fn landmark_token(text: &[u8], at: usize) -> Option<(usize, usize, &'static str)> {
    let rest = &text[at..];
    // A landmark is counted from the start of the whole token, which a sign that is no letter may begin.
    let found = LANDMARKS.iter().find_map(|landmark| {
        let length = (landmark.least..=landmark.most).rev().find(|length| {
            let ends = class_at(rest, *length) & landmark.alphabet == 0;
            ends && rest.get(..*length).is_some_and(|token| all(token, landmark.alphabet))
        })?;
        (stands(landmark, rest) && !is_filler(&rest[..length])).then_some((at, at + length, landmark.label))
    });
    found.or_else(|| is_telegram(rest).then(|| (at, at + telegram_length(rest), "a Telegram bot token")))
}

/// The digits of a bot's number, a colon, and 34 or 35 letters of base64url (core.telegram.org/bots/api).
fn is_telegram(rest: &[u8]) -> bool {
    let digits = rest.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
    if !(8..=10).contains(&digits) || rest.get(digits) != Some(&b':') {
        return false;
    }
    let body = &rest[digits + 1..];
    let length = body.iter().take(36).take_while(|byte| CLASS[usize::from(**byte)] & URL64 != 0).count();
    matches!(length, 34 | 35)
        && body[..length].iter().any(u8::is_ascii_alphabetic)
        && !is_filler(&body[..length])
}

fn telegram_length(rest: &[u8]) -> usize {
    let digits = super::text::run_end(rest, 0, DIGIT);
    super::text::run_end(rest, digits + 1, URL64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_landmark_token_is_whole() {
        let body = "aQwErTy123456789AbCdEf0123456789AbCdEf0123456789AbCdEf0123456789AbCdEf012345";
        let token = format!("{body}AZDOabc1");
        assert!(landmark_token(token.as_bytes(), 0).is_some());
        assert!(landmark_token(format!("{token}x").as_bytes(), 0).is_none(), "too long");
        assert!(landmark_token(body.as_bytes(), 0).is_none(), "too short");
    }
}
