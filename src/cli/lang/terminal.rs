//! Making output safe for a terminal.

use super::escape::{is_unprintable, push_hex};

/// Escapes control characters: `\xNN` for bytes, `\u{...}` for characters. Tab and newline stay.
/// Bytes that are not UTF-8 stay too, unless they are controls of an 8-bit terminal (0x80 to 0x9f).
///
/// Takes the output piece by piece; a character may be divided between two pieces.
#[derive(Debug, Default)]
pub struct TerminalEscaper {
    /// The beginning of a character whose rest has not arrived.
    held: Vec<u8>,
}

impl TerminalEscaper {
    /// Holds no bytes back.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, made safe, to `out`. At most three bytes are held back.
    pub fn escape(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            self.pieces(input, out);
        } else {
            self.held.extend(input);
            let joined = std::mem::take(&mut self.held);
            self.pieces(&joined, out);
        }
    }

    /// Appends what was held back: no more output comes, or not for a while.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        escape_invalid(&std::mem::take(&mut self.held), out);
    }

    fn pieces(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if input
            .iter()
            .all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\t'))
        {
            out.extend(input);
            return;
        }
        let mut left = input.len();
        for chunk in input.utf8_chunks() {
            escape_text(chunk.valid(), out);
            let invalid = chunk.invalid();
            left -= chunk.valid().len() + invalid.len();
            if left == 0 && is_unfinished(invalid) {
                self.held.extend(invalid);
            } else {
                escape_invalid(invalid, out);
            }
        }
    }
}

fn escape_text(text: &str, out: &mut Vec<u8>) {
    let mut written = 0;
    for (at, c) in text.char_indices() {
        if matches!(c, '\n' | '\t') || !is_unprintable(c) {
            continue;
        }
        out.extend(&text.as_bytes()[written..at]);
        written = at + c.len_utf8();
        if c.is_ascii() {
            push_byte(c as u8, out);
        } else {
            out.extend(format!("\\u{{{:x}}}", u32::from(c)).into_bytes());
        }
    }
    out.extend(&text.as_bytes()[written..]);
}

fn escape_invalid(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            0x80..=0x9f => push_byte(*byte, out),
            _ => out.push(*byte),
        }
    }
}

fn push_byte(byte: u8, out: &mut Vec<u8>) {
    out.extend(b"\\x");
    push_hex(byte, out);
}

/// Whether further bytes could complete a character.
fn is_unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn safe(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut escaper, mut out) = (TerminalEscaper::new(), Vec::new());
        for piece in pieces {
            escaper.escape(piece, &mut out);
        }
        escaper.finish(&mut out);
        out
    }

    #[test]
    fn controls_become_visible() {
        for (input, shown) in [
            (&b"plain\ttext\n"[..], &b"plain\ttext\n"[..]),
            (b"\x1b[31mred\x07", b"\\x1b[31mred\\x07"),
            (b"a\rb\x00\x7f", b"a\\x0db\\x00\\x7f"),
            ("é→😀".as_bytes(), "é→😀".as_bytes()),
            ("\u{9b}31m\u{80}".as_bytes(), b"\\u{9b}31m\\u{80}"),
            (b"\x9b31m \xe4 \xa0", b"\\x9b31m \xe4 \xa0"),
            (b"\xe2\x82", b"\xe2\\x82"),
            (
                "\u{202e}\u{2066}\u{200f}\u{61c}".as_bytes(),
                b"\\u{202e}\\u{2066}\\u{200f}\\u{61c}",
            ),
            ("\u{200d}\u{feff}".as_bytes(), "\u{200d}\u{feff}".as_bytes()),
        ] {
            assert_eq!(
                safe(&[input]).escape_ascii().to_string(),
                shown.escape_ascii().to_string()
            );
        }
        assert_eq!(safe(&[b"\xc2", b"\x9b"]), b"\\u{9b}");
        assert_eq!(safe(&[b"\xe2\x80", b"", b"\xae"]), b"\\u{202e}");
        assert_eq!(safe(&[b"\xf0\x9f", b"\x1b"]), b"\xf0\\x9f\\x1b");
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            mut bytes: Vec<u8>, text in "\\PC{0,4}[\u{80}-\u{9f}\u{2028}-\u{202f}é😀]{0,4}", cut: usize,
        ) {
            bytes.extend(text.as_bytes());
            let cut = cut % (bytes.len() + 1);
            let whole = safe(&[&bytes]);
            prop_assert_eq!(safe(&[&bytes[..cut], &bytes[cut..]]), whole.clone());
            prop_assert!(!whole.iter().any(|b| b.is_ascii_control() && !b"\n\t".contains(b)));
            // The remaining bytes that are not UTF-8 contain no 8-bit control.
            for chunk in whole.utf8_chunks() {
                let c1 = |c| ('\u{80}'..'\u{a0}').contains(&c);
                prop_assert!(!chunk.valid().chars().any(c1));
                prop_assert!(!chunk.invalid().iter().any(|b| (0x80..0xa0).contains(b)));
            }
        }
    }
}
