//! A denial is one line that numbers its reasons, as kubectl prints it. Here it is taken apart, and put together again.

/// The reasons of a denial.
pub fn split(message: &str) -> Vec<&str> {
    let Some(mut rest) = message.strip_prefix("(1) ") else { return vec![message] };
    let mut reasons = Vec::new();
    while let Some((reason, next)) = rest.split_once(&format!("; ({}) ", reasons.len() + 2)) {
        reasons.push(reason);
        rest = next;
    }
    reasons.push(rest);
    reasons
}

/// The denial that has the reasons of `first`, and those of `second` that speak of something else.
pub fn merge(first: &str, second: &str) -> String {
    let mut reasons = split(first);
    let spoken_of: Vec<&str> = reasons.iter().map(|reason| subject(reason)).collect();
    reasons.extend(split(second).into_iter().filter(|reason| !spoken_of.contains(&subject(reason))));
    match reasons[..] {
        [only] => only.to_owned(),
        _ => {
            let numbered =
                reasons.iter().enumerate().map(|(index, reason)| format!("({}) {reason}", index + 1));
            numbered.collect::<Vec<_>>().join("; ")
        }
    }
}

/// What a reason speaks of: the place that it begins with.
fn subject(reason: &str) -> &str {
    reason.split_once(": ").map_or(reason, |(subject, _)| subject)
}

#[cfg(test)]
mod tests {
    use super::{merge, split};

    #[test]
    fn reasons_come_apart_and_together() {
        assert_eq!(split("env A: one; (2) in it"), ["env A: one; (2) in it"]);
        assert_eq!(split("(1) env A: one; two; (2) env B: three"), ["env A: one; two", "env B: three"]);
        assert_eq!(merge("env A: one", "env A: another"), "env A: one");
        assert_eq!(
            merge("env A: one", "(1) env A: another; (2) env B: two"),
            "(1) env A: one; (2) env B: two"
        );
    }
}
