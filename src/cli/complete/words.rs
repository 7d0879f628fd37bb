//! A command line as typed in a shell, up to the cursor: its words without quotes, and how inserted
//! text has to be quoted at the cursor.
//!
//! Only `~` or `$NAME` at the beginning of a word is expanded: a command line that is being typed
//! must not be run.

/// The quotes around a place in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// None.
    Bare,
    /// `'`: nothing is special up to the next one.
    Single,
    /// `"`.
    Double,
}

/// The purpose of the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordRole {
    /// An argument.
    #[default]
    Argument,
    /// The file of a redirection.
    Redirection,
}

/// A command line, parsed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// The complete words, the command first; without redirections.
    pub words: Vec<String>,
    /// The word at the cursor, as far as it is typed; empty after a blank.
    pub current: String,
    /// The same with its quotes.
    pub raw: String,
    /// The purpose of that word.
    pub role: WordRole,
}

#[derive(Default)]
struct WordReader {
    typed: Typed,
    /// Whether the current word was begun, even if only by quotes around nothing.
    is_begun: bool,
}

impl WordReader {
    fn end_word(&mut self) {
        if self.is_begun {
            let word = std::mem::take(&mut self.typed.current);
            if std::mem::take(&mut self.typed.role) == WordRole::Argument {
                self.typed.words.push(word);
            }
        }
        self.typed.raw.clear();
        self.is_begun = false;
    }

    /// Begins a redirection: a number directly before it belongs to it.
    fn redirect(&mut self) {
        if self.typed.raw.bytes().all(|b| b.is_ascii_digit()) {
            self.typed.current.clear();
            self.is_begun = false;
        }
        self.end_word();
        self.typed.role = WordRole::Redirection;
    }

    /// Begins another command.
    fn end_command(&mut self) {
        self.end_word();
        self.typed = Typed::default();
    }
}

/// Parses a line of bash.
pub fn read(line: &str) -> Typed {
    let mut reader = WordReader::default();
    let mut quote = Quote::Bare;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if quote == Quote::Bare {
            match c {
                ' ' | '\t' | '\n' => {
                    reader.end_word();
                    continue;
                }
                '<' | '>' => {
                    reader.redirect();
                    while chars.next_if(|c| "<>&|".contains(*c)).is_some() {}
                    continue;
                }
                '&' if chars.peek() == Some(&'>') => {
                    reader.end_word();
                    continue;
                }
                '|' | '&' | ';' | '(' | ')' => {
                    reader.end_command();
                    continue;
                }
                _ => {}
            }
        }
        reader.is_begun = true;
        reader.typed.raw.push(c);
        quote = match (quote, c) {
            (Quote::Bare, '\'') => Quote::Single,
            (Quote::Bare, '"') => Quote::Double,
            (Quote::Single, '\'') | (Quote::Double, '"') => Quote::Bare,
            (Quote::Bare | Quote::Double, '\\') => {
                if let Some(next) = chars.next() {
                    reader.typed.raw.push(next);
                    if quote == Quote::Double && !"\\\"$`\n".contains(next) {
                        reader.typed.current.push('\\');
                    }
                    if next != '\n' {
                        reader.typed.current.push(next);
                    }
                }
                quote
            }
            _ => {
                reader.typed.current.push(c);
                quote
            }
        };
    }
    reader.typed
}

/// A word without its quotes, and the quotes that are open at its end.
pub fn unquoted(raw: &str) -> (String, Quote) {
    let mut word = String::new();
    let mut quote = Quote::Bare;
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        quote = match (quote, c) {
            (Quote::Bare, '\'') => Quote::Single,
            (Quote::Bare, '"') => Quote::Double,
            (Quote::Single, '\'') | (Quote::Double, '"') => Quote::Bare,
            (Quote::Bare | Quote::Double, '\\') => {
                let next = chars.next();
                if quote == Quote::Double && next.is_some_and(|next| !"\\\"$`\n".contains(next)) {
                    word.push('\\');
                }
                word.extend(next.filter(|next| *next != '\n'));
                quote
            }
            _ => {
                word.push(c);
                quote
            }
        };
    }
    (word, quote)
}

/// The text to insert within such quotes so that bash reads it exactly; `None` if no way of writing
/// it is certain.
pub fn quoted(text: &str, quote: Quote) -> Option<String> {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        match quote {
            Quote::Single if c == '\'' => quoted.push_str("'\\''"),
            Quote::Single => quoted.push(c),
            // An interactive shell expands its history there, backslash or not.
            Quote::Double if c == '!' => return None,
            Quote::Double => {
                if "\\\"$`".contains(c) {
                    quoted.push('\\');
                }
                quoted.push(c);
            }
            Quote::Bare => {
                let plain = c.is_alphanumeric() || !c.is_ascii() || "_-+./=:,@%".contains(c);
                if !plain {
                    quoted.push('\\');
                }
                quoted.push(c);
            }
        }
    }
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_bash_reads_them() {
        for (line, words, current) in [
            ("mq-topics ", &["mq-topics"][..], ""),
            ("mq-topics desc", &["mq-topics"], "desc"),
            ("t a -c x=y", &["t", "a", "-c"], "x=y"),
            ("t 'a b' \"c $d\"  e\\ f", &["t", "a b", "c $d"], "e f"),
            ("t 'it'\\''s' 'op en", &["t", "it's"], "op en"),
            ("t \"a\\\"b\\c\" ''", &["t", "a\"b\\c"], ""),
            ("t '' x", &["t", ""], "x"),
            ("t a > out b 2>err 2>&1 &>all <in c", &["t", "a", "b"], "c"),
            ("cat x | t a", &["t"], "a"),
            ("t a\\\nb c", &["t", "ab"], "c"),
            ("", &[], ""),
        ] {
            let typed = read(line);
            assert_eq!(typed.words, words, "{line}");
            assert_eq!(typed.current, current, "{line}");
            assert_eq!(typed.role, WordRole::Argument, "{line}");
        }
        for line in ["t a > ", "t a >ou", "t a 2>> ou", "t &> 'ou", "t < "] {
            assert_eq!(read(line).role, WordRole::Redirection, "{line}");
        }
        assert_eq!(read("t a 'b c").raw, "'b c");
    }

    #[test]
    fn a_word_tells_which_quotes_are_open() {
        for (raw, word, quote) in [
            ("", "", Quote::Bare),
            ("a\\ b=", "a b=", Quote::Bare),
            ("'a b", "a b", Quote::Single),
            ("x\"a\\$", "xa$", Quote::Double),
            ("'a'\"b\"c", "abc", Quote::Bare),
        ] {
            assert_eq!(unquoted(raw), (word.to_owned(), quote), "{raw}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_not() {
        assert_eq!(quoted("a!b", Quote::Double), None);
        assert_eq!(
            quoted("$(x)`y`", Quote::Bare).as_deref(),
            Some("\\$\\(x\\)\\`y\\`")
        );
    }

    proptest! {
        /// Any inserted name is read back from the line as one word.
        #[test]
        fn what_is_put_in_is_read_again(
            text in "[ -~é€]{0,20}",
            quote in prop::sample::select(vec![
                ("", Quote::Bare, ""),
                ("'", Quote::Single, "'"),
                ("\"", Quote::Double, "\""),
            ]),
        ) {
            let (open, quote, close) = quote;
            if let Some(put) = quoted(&text, quote) {
                let typed = read(&format!("t x{open}{put}{close} end"));
                prop_assert_eq!(typed.words, ["t".to_owned(), format!("x{text}")]);
                prop_assert_eq!(unquoted(&format!("x{open}{put}")), (format!("x{text}"), quote));
            }
        }
    }
}
