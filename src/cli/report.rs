//! How errors read: one line that says what and where, one that says what to do about it.

use std::io::{IsTerminal, Write};

use super::lang::TerminalEscaper;
use crate::error::Error;

/// Tells an error on stderr.
pub fn error(tool: &str, error: &Error) {
    let stderr = std::io::stderr();
    let terminal = stderr.is_terminal();
    let mut text = format!("{tool}: {}\n", plain(&error.to_string(), terminal));
    if let Some(cure) = error.cure_text() {
        text.push_str(&format!("{:indent$}  {}\n", "", plain(cure, terminal), indent = tool.len()));
    }
    // There is nobody to tell that stderr is gone.
    let _ = stderr.lock().write_all(text.as_bytes());
}

/// Text without line breaks, and on a terminal without control characters.
pub fn plain(text: &str, terminal: bool) -> String {
    let one_line = text.replace('\n', " ");
    if !terminal {
        return one_line;
    }
    let mut bytes = Vec::new();
    let mut escaper = TerminalEscaper::new();
    escaper.escape(one_line.as_bytes(), &mut bytes);
    escaper.finish(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
