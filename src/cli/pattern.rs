//! Names as arguments of the tools: exact, a glob, or a regular expression.

use globset::{Glob, GlobMatcher};
use regex::Regex;

use super::lang::usage;
use crate::error::{Error, Result};

/// A name, or a pattern of names.
#[derive(Debug, Clone)]
pub struct NamePattern {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Name,
    Glob(GlobMatcher),
    Regex(Regex),
}

impl NamePattern {
    /// Parses an argument: one with `*`, `?`, `[` or `{` in it is a glob.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for an invalid glob.
    pub fn parse(text: &str) -> Result<Self> {
        let matcher = if text.contains(['*', '?', '[', '{']) {
            let glob = Glob::new(text).map_err(|e| {
                usage(
                    format!("'{}' is not a glob: {}", text.escape_debug(), e.kind()),
                    "quote it for the shell, and use * ? [a-z] {a,b}",
                )
            })?;
            Matcher::Glob(glob.compile_matcher())
        } else {
            Matcher::Name
        };
        Ok(NamePattern {
            text: text.to_owned(),
            matcher,
        })
    }

    /// Parses a regular expression that has to match the whole name; `option` is the option that
    /// makes the argument one.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for an invalid expression.
    pub fn regex(option: &str, text: &str) -> Result<Self> {
        let regex =
            Regex::new(&format!("^(?:{text})$")).map_err(|e| bad_regex(option, text, &e))?;
        // A topic's name contains no colon.
        if let Some((name, number)) = text.rsplit_once(':')
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(usage(
                format!(
                    "{option} '{}' names a partition, which a regular expression cannot",
                    text.escape_debug()
                ),
                format!("write '{}' and -p {number}", name.escape_debug()),
            ));
        }
        Ok(NamePattern {
            text: text.to_owned(),
            matcher: Matcher::Regex(regex),
        })
    }

    /// The text as it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a plain name.
    pub fn is_name(&self) -> bool {
        matches!(self.matcher, Matcher::Name)
    }

    /// Whether it is a glob. Where names may contain `*`, an exact name wins over a glob.
    pub fn is_glob(&self) -> bool {
        matches!(self.matcher, Matcher::Glob(_))
    }

    /// Whether it is a regular expression.
    pub fn is_regex(&self) -> bool {
        matches!(self.matcher, Matcher::Regex(_))
    }

    /// Whether it matches `name`.
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Name => self.text == name,
            Matcher::Glob(glob) => self.text == name || glob.is_match(name),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }
}

/// The error for an option's invalid regular expression.
pub fn bad_regex(option: &str, regex: &str, e: &regex::Error) -> Error {
    let why = e.to_string();
    let last = why.lines().last().unwrap_or_default().trim();
    let last = last.strip_prefix("error: ").unwrap_or(last);
    usage(
        format!(
            "{option} '{}' is not a regular expression: {last}",
            regex.escape_debug()
        ),
        "see the syntax of Rust's regex",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn names_and_globs() {
        for (pattern, name, matches) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("ord*", "orders", true),
            ("ord?rs", "orders", true),
            ("{a,b}-[0-9]", "b-7", true),
            ("{a,b}-[0-9]", "c-7", false),
            ("what?", "what?", true),
        ] {
            let pattern = NamePattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.matches(name), matches, "{pattern:?} {name}");
        }
        for (regex, name, matches) in [
            ("ord.*", "orders", true),
            ("rd", "orders", false),
            ("a|b", "b", true),
            ("a|b", "bb", false),
        ] {
            let pattern = NamePattern::regex("-r", regex).expect(regex);
            assert_eq!(pattern.matches(name), matches, "{pattern:?} {name}");
            assert_eq!(pattern.text(), regex);
            assert!(!pattern.is_name() && !pattern.is_glob());
        }
        let e = NamePattern::regex("-r", "a(").expect_err("refused");
        assert!(e.to_string().starts_with("-r 'a(' is not a regular"), "{e}");
        let e = NamePattern::regex("-r", "a.*:1").expect_err("refused");
        assert!(e.to_string().contains("names a partition"), "{e}");
        assert_eq!(e.cure_text(), Some("write 'a.*' and -p 1"));
        NamePattern::regex("-r", "(?:a)").expect("no partition");
        assert!(!NamePattern::parse("a.b").expect("name").is_glob());
        let e = NamePattern::parse("a[").expect_err("refused");
        assert_eq!(e.kind(), Kind::Usage);
    }
}
