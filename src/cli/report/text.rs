//! Lines for eyes: rows in columns, with sentences below them. Rows are held until a file ends, and no more than some hundred.

use std::fmt::Write as _;

use crate::policy::printed::is_hidden;

pub(super) const RED: &str = "\x1b[31m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";
pub(super) const PLAIN: &str = "\x1b[0m";
const YELLOW: &str = "\x1b[33m";

/// So many lines stand in columns together at the most: of a large file not all of it is held.
const HELD_LINES: usize = 512;

/// One line of text output.
pub(super) enum Line {
    /// Where, and what there.
    Row { cells: [String; 4], mark: &'static str },
    /// A sentence about the row above.
    Note { label: &'static str, text: String },
}

impl Line {
    /// A sentence, or several lines of one, such as what is to be pasted.
    pub(super) fn notes(label: &'static str, text: &str) -> Vec<Self> {
        let lines = text.lines().enumerate();
        let note =
            |(index, text)| Self::Note { label: if index == 0 { label } else { "" }, text: printable(text) };
        lines.map(note).collect()
    }
}

/// The lines of some objects, which share their columns.
#[derive(Default)]
pub(super) struct Block {
    objects: Vec<Vec<Line>>,
    lines: usize,
}

impl Block {
    /// Takes in the lines of one object. Gives whether the block is full.
    pub(super) fn add(&mut self, lines: Vec<Line>) -> bool {
        self.lines += lines.len();
        if !lines.is_empty() {
            self.objects.push(lines);
        }
        self.lines >= HELD_LINES
    }

    /// The text of what was added since the last time, with colors in it.
    pub(super) fn take(&mut self) -> String {
        let objects = std::mem::take(self).objects;
        let mut widths = [0; 4];
        for line in objects.iter().flatten() {
            if let Line::Row { cells, .. } = line {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = cell.chars().count().max(*width);
                }
            }
        }
        let mut out = String::new();
        for object in &objects {
            for line in object {
                write_line(&mut out, line, widths);
            }
            out.push('\n');
        }
        out
    }
}

fn write_line(out: &mut String, line: &Line, widths: [usize; 4]) {
    match line {
        Line::Row { cells, mark } => {
            for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let style = if index == 0 { BOLD } else { "" };
                let padding = width - cell.chars().count();
                // A column that no row fills takes no room.
                let gap = if width == 0 { 0 } else { padding + 2 };
                let _ = write!(out, "{style}{cell}{}{:gap$}", if style.is_empty() { "" } else { PLAIN }, "");
            }
            let color = if *mark == "warning" { YELLOW } else { RED };
            let _ = writeln!(out, "{color}{mark}{PLAIN}");
        }
        Line::Note { label, text } => {
            let _ = writeln!(out, "    {DIM}{label}{PLAIN}{text}");
        }
    }
}

/// Names come from files: one with an escape sequence in it must not speak to the terminal, nor hide or reorder what stands there.
pub(in crate::cli) fn printable(text: &str) -> String {
    text.chars().map(|character| if is_hidden(character) { '\u{fffd}' } else { character }).collect()
}

/// `1 error`, `2 errors`.
pub(super) fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
