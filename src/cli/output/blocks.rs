//! Rows as blocks of lines, a line for each column: for terminals too narrow for a table.

use std::fmt::Write;

use super::cell::{BOLD, PLAIN};

/// The rows, separated by empty lines.
pub(super) fn render(headings: &[String], rows: &[Vec<String>], color: bool) -> String {
    let width = headings.iter().map(String::len).max().unwrap_or(0);
    let (bold, plain) = if color { (BOLD, PLAIN) } else { ("", "") };
    let mut text = String::new();
    for (nth, row) in rows.iter().enumerate() {
        if nth > 0 {
            text.push('\n');
        }
        for (heading, cell) in headings.iter().zip(row) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{bold}{heading:width$}{plain}  {cell}");
        }
    }
    text
}
