//! Names as the tools' arguments: exact, or a glob.

use globset::{Glob, GlobMatcher};

use crate::error::{Error, Kind, Result};

/// A name, or a glob over names.
#[derive(Debug, Clone)]
pub struct NamePattern {
    text: String,
    glob: Option<GlobMatcher>,
}

impl NamePattern {
    /// Parses an argument: with `*`, `?`, `[` or `{` in it, it is a glob.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a glob that cannot be read.
    pub fn parse(text: &str) -> Result<Self> {
        let glob = if text.contains(['*', '?', '[', '{']) {
            let glob = Glob::new(text).map_err(|e| {
                Error::new(
                    Kind::Usage,
                    format!("'{}' is not a glob: {}", text.escape_debug(), e.kind()),
                )
                .cure("quote it for the shell, and use * ? [a-z] {a,b}")
            })?;
            Some(glob.compile_matcher())
        } else {
            None
        };
        Ok(NamePattern {
            text: text.to_owned(),
            glob,
        })
    }

    /// As it was typed: the name, where it is one.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a glob. Where names may hold `*` themselves, an exact name wins over it.
    pub fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        self.text == name || self.glob.as_ref().is_some_and(|glob| glob.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(!NamePattern::parse("a.b").expect("name").is_glob());
        let e = NamePattern::parse("a[").expect_err("refused");
        assert_eq!(e.kind(), Kind::Usage);
    }
}
