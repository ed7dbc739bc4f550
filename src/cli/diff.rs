//! A unified diff of two short texts, for eyes: what `render --output diff` prints.

use std::fmt::Write as _;

/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;
/// Largest table that is filled; beyond it the differing middle is shown as replaced as a whole.
const MAX_CELLS: usize = 4_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit<'a> {
    Keep(&'a str),
    Remove(&'a str),
    Add(&'a str),
}

/// The hunks that turn `before` into `after`; empty when they are equal.
pub fn unified(before: &str, after: &str) -> String {
    let edits = edits(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
    let changed: Vec<usize> =
        (0..edits.len()).filter(|&index| !matches!(edits[index], Edit::Keep(_))).collect();
    let mut out = String::new();
    let mut start = 0;
    while let Some(&first) = changed.get(start) {
        // Changes closer than two contexts share a hunk.
        let mut end = start;
        while changed.get(end + 1).is_some_and(|next| next - changed[end] <= 2 * CONTEXT_LINES) {
            end += 1;
        }
        let from = first.saturating_sub(CONTEXT_LINES);
        let to = (changed[end] + CONTEXT_LINES + 1).min(edits.len());
        hunk(&mut out, &edits, from, to);
        start = end + 1;
    }
    out
}

fn hunk(out: &mut String, edits: &[Edit<'_>], from: usize, to: usize) {
    let count = |range: &[Edit<'_>]| {
        let old = range.iter().filter(|edit| !matches!(edit, Edit::Add(_))).count();
        let new = range.iter().filter(|edit| !matches!(edit, Edit::Remove(_))).count();
        (old, new)
    };
    let (old_before, new_before) = count(&edits[..from]);
    let (old, new) = count(&edits[from..to]);
    // An empty side is numbered by the line before it, as diff does.
    let (old_at, new_at) = (old_before + usize::from(old > 0), new_before + usize::from(new > 0));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "@@ -{old_at},{old} +{new_at},{new} @@");
    for edit in &edits[from..to] {
        let (sign, line) = match edit {
            Edit::Keep(line) => (' ', line),
            Edit::Remove(line) => ('-', line),
            Edit::Add(line) => ('+', line),
        };
        let _ = writeln!(out, "{sign}{line}");
    }
}

fn edits<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Edit<'a>> {
    let prefix = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (old, new) = (&before[prefix..], &after[prefix..]);
    let suffix = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    let mut edits: Vec<Edit<'a>> = before[..prefix].iter().map(|line| Edit::Keep(line)).collect();
    middle(&mut edits, old, new);
    edits.extend(before[before.len() - suffix..].iter().map(|line| Edit::Keep(line)));
    edits
}

/// Longest common subsequence, by the table.
fn middle<'a>(edits: &mut Vec<Edit<'a>>, old: &[&'a str], new: &[&'a str]) {
    let width = new.len() + 1;
    if width.saturating_mul(old.len() + 1) > MAX_CELLS {
        edits.extend(old.iter().map(|line| Edit::Remove(line)));
        edits.extend(new.iter().map(|line| Edit::Add(line)));
        return;
    }
    let mut common = vec![0_u32; width * (old.len() + 1)];
    for row in (0..old.len()).rev() {
        for column in (0..new.len()).rev() {
            common[row * width + column] = if old[row] == new[column] {
                common[(row + 1) * width + column + 1] + 1
            } else {
                common[(row + 1) * width + column].max(common[row * width + column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < old.len() || column < new.len() {
        if row < old.len() && column < new.len() && old[row] == new[column] {
            edits.push(Edit::Keep(old[row]));
            (row, column) = (row + 1, column + 1);
        } else if column == new.len()
            || row < old.len() && common[(row + 1) * width + column] >= common[row * width + column + 1]
        {
            edits.push(Edit::Remove(old[row]));
            row += 1;
        } else {
            edits.push(Edit::Add(new[column]));
            column += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn equal_texts_have_no_hunks() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
    }

    #[test]
    fn changes_come_with_their_context() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n";
        let after = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n";
        let expected = "\
@@ -2,7 +2,7 @@
 2
 3
 4
-5
+five
 6
 7
 8
@@ -14,3 +14,4 @@
 14
 15
 16
+17
";
        assert_eq!(unified(before, after), expected);
    }

    #[test]
    fn from_nothing_and_to_nothing() {
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
    }
}
