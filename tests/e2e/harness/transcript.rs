//! What a page shows of a terminal: blocks of `console`, each line after a `$` a command, the others what it prints.

/// A command and what it prints.
#[derive(Debug)]
pub struct Step {
    pub command: String,
    /// Lines; `…` in one stands for any text, and a line of it alone for any lines.
    pub expected: String,
}

/// The steps of a page, in their order.
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    // A command goes on behind a backslash.
    let mut goes_on = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step { command: command.to_owned(), expected: String::new() });
            goes_on = command.ends_with('\\');
        } else if inside && let Some(step) = steps.last_mut() {
            let text = if goes_on { &mut step.command } else { &mut step.expected };
            text.push('\n');
            text.push_str(line);
            goes_on = goes_on && line.ends_with('\\');
        }
    }
    steps
}

/// Whether what was printed is what was expected.
pub fn matches(expected: &str, printed: &str) -> bool {
    let lines = |text: &str| text.trim().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    let (expected, printed) = (lines(expected), lines(printed));
    lines_match(&expected, &printed)
}

fn lines_match(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut left) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return left.is_empty() };
    for part in between {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}
