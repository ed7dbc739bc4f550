//! The words of one command as one line, where the command's name tells which of them is a credential: `mysqladmin … -px`.

use super::rules::Detector;
use super::workload::json::Text;

/// A command line in the making. For commands that take no credential so, it stays empty and costs nothing.
pub(super) struct Line {
    /// The words, as a shell would have them.
    pub(super) text: String,
    /// Where each word stands, and its position in the list; those with a finding of their own are left out.
    words: Vec<(usize, usize, usize)>,
    is_known: bool,
}

impl Line {
    /// A line that `program` begins, which may be empty: the first word of the list is then the command.
    pub(super) fn of(program: &[Text<'_>], words: &[Text<'_>]) -> Self {
        let is_known =
            program.first().or(words.first()).is_some_and(|word| Detector::takes_credentials(word));
        let mut line = Self { text: String::new(), words: Vec::new(), is_known };
        for word in program {
            line.push(0, word, true);
        }
        line
    }

    /// One more word, and whether it has a finding already.
    pub(super) fn push(&mut self, index: usize, word: &str, is_found: bool) {
        if !self.is_known {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let is_plain = !word.contains(|c: char| c.is_whitespace() || "'\"`;|&()".contains(c));
        let quote = if is_plain { "" } else { "'" };
        // A word that cannot be quoted is judged on its own alone.
        let word = if word.contains('\'') { "_" } else { word };
        self.text.push_str(quote);
        let start = self.text.len();
        self.text.push_str(word);
        if !is_found {
            self.words.push((start, self.text.len(), index));
        }
        self.text.push_str(quote);
    }

    /// The word that holds a place of the line, and its position in the list.
    pub(super) fn word_at(&self, place: usize) -> Option<(usize, &str)> {
        let (start, end, index) = self.words.iter().rev().find(|(start, _, _)| *start <= place)?;
        (place < *end).then(|| (*index, &self.text[*start..*end]))
    }
}
