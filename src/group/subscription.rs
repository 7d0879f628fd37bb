//! The topics that a member wants to read: by name, or all whose names match.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::types::TopicName;

/// How the texts of a subscription are interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// Names.
    #[default]
    Names,
    /// A shell's globs, also for later topics.
    Globs,
    /// Regular expressions that match the whole name, also for later topics.
    Regexes,
}

/// A subscription, as it is written in `group.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subscription {
    /// How `topics` are interpreted.
    #[serde(default)]
    pub naming: Naming,
    /// Names or patterns, one or more.
    pub topics: Vec<String>,
}

/// A subscription, compiled to match names.
#[derive(Debug, Clone)]
pub struct Matcher(Matchers);

#[derive(Debug, Clone)]
enum Matchers {
    Names(Vec<String>),
    #[cfg(feature = "patterns")]
    Globs(globset::GlobSet),
    #[cfg(feature = "patterns")]
    Regexes(regex::RegexSet),
}

impl Subscription {
    /// Topics by name.
    pub fn to_names(names: impl IntoIterator<Item = TopicName>) -> Self {
        Subscription {
            naming: Naming::Names,
            topics: names.into_iter().map(|name| name.to_string()).collect(),
        }
    }

    /// Whether it includes only these topics, and no later ones that happen to match.
    pub fn is_of_names(&self) -> bool {
        self.naming == Naming::Names
    }

    /// Compiles the subscription.
    ///
    /// # Errors
    /// [`Kind::Usage`] for an invalid pattern, and for any pattern in a program that was built without
    /// the feature `patterns`: it cannot tell what such a member of its group reads.
    #[cfg(not(feature = "patterns"))]
    pub fn matcher(&self) -> Result<Matcher> {
        if self.naming == Naming::Names {
            return Ok(Matcher(Matchers::Names(self.topics.clone())));
        }
        let text = self.topics.join(" ");
        let what = format!(
            "'{}' is a pattern, and this program was built without patterns",
            text.escape_debug()
        );
        Err(Error::new(Kind::Usage, what).cure("build it with the feature 'patterns' of mq"))
    }

    /// Compiles the subscription.
    ///
    /// # Errors
    /// [`Kind::Usage`] for an invalid pattern.
    #[cfg(feature = "patterns")]
    pub fn matcher(&self) -> Result<Matcher> {
        let bad = |what: &str, text: &str, why: String| {
            Error::new(
                Kind::Usage,
                format!("'{}' is no {what}: {why}", text.escape_debug()),
            )
        };
        Ok(Matcher(match self.naming {
            Naming::Names => Matchers::Names(self.topics.clone()),
            Naming::Globs => {
                let mut set = globset::GlobSetBuilder::new();
                for text in &self.topics {
                    let glob = globset::Glob::new(text)
                        .map_err(|e| bad("glob", text, e.kind().to_string()))?;
                    set.add(glob);
                }
                Matchers::Globs(
                    set.build()
                        .map_err(|e| bad("glob", &self.topics.join(" "), e.to_string()))?,
                )
            }
            Naming::Regexes => {
                let whole = self.topics.iter().map(|text| format!("^(?:{text})$"));
                Matchers::Regexes(regex::RegexSet::new(whole).map_err(|e| {
                    bad(
                        "regular expression",
                        &self.topics.join(" "),
                        e.to_string().lines().last().unwrap_or_default().to_owned(),
                    )
                })?)
            }
        }))
    }
}

impl Matcher {
    /// Whether it includes a topic of that name.
    pub fn matches(&self, name: &TopicName) -> bool {
        match &self.0 {
            Matchers::Names(names) => names.iter().any(|known| known == name.as_str()),
            #[cfg(feature = "patterns")]
            Matchers::Globs(globs) => globs.is_match(name.as_str()),
            #[cfg(feature = "patterns")]
            Matchers::Regexes(regexes) => regexes.is_match(name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_what_it_says() {
        let name = |text: &str| TopicName::new(text).expect("topic");
        for (naming, text, yes, no) in [
            (Naming::Names, "a.b", "a.b", "axb"),
            (Naming::Globs, "log.*", "log.web", "logs"),
            (Naming::Regexes, "a|bc", "bc", "abc"),
        ] {
            let topics = vec![text.to_owned()];
            let matcher = Subscription { naming, topics }.matcher().expect("pattern");
            assert!(matcher.matches(&name(yes)), "{text} {yes}");
            assert!(!matcher.matches(&name(no)), "{text} {no}");
        }
        for naming in [Naming::Globs, Naming::Regexes] {
            let topics = vec!["a[".to_owned()];
            let error = Subscription { naming, topics }.matcher().expect_err("none");
            assert_eq!(error.kind(), Kind::Usage);
        }
    }
}
