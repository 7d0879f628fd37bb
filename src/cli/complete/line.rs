//! The command line that is being completed, and the names from the store that it refers to.

use std::cell::OnceCell;
use std::path::PathBuf;

use crate::cli::env::store_path;
use crate::client::stores::Listing;
use crate::disk::OsDisk;
use crate::types::BrokerId;

/// Values that the shell itself completes: it knows home directories, quotes and the user's
/// settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    /// Any file.
    File,
    /// A directory.
    Dir,
    /// A command, for `sh -c`.
    Command,
    /// A group of users.
    UnixGroup,
}

/// A command line, and the store that it refers to.
#[derive(Debug, Default)]
pub struct CommandLine {
    /// The words before the one at the cursor, the command first.
    words: Vec<String>,
    store: OnceCell<Option<Listing>>,
}

impl CommandLine {
    /// `words`: those before the cursor's word, the command first.
    pub fn new(words: Vec<String>) -> Self {
        CommandLine {
            words,
            ..CommandLine::default()
        }
    }

    /// Whether a flag was given.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.options().any(|word| word == flag)
    }

    /// Topics with this prefix, with `behind` after each.
    pub fn topics(&self, typed: &str, behind: &str) -> Vec<String> {
        let topics = self.store().map(Listing::topics).unwrap_or_default();
        let topics = topics.iter().map(crate::types::TopicName::as_str);
        let topics = topics.filter(|topic| topic.starts_with(typed));
        topics.map(|topic| format!("{topic}{behind}")).collect()
    }

    /// Partitions of a topic with this prefix, with `behind` after each.
    pub fn partitions(&self, topic: &str, typed: &str, behind: &str) -> Vec<String> {
        let store = self.store();
        let numbers = store.map(|store| store.partitions(topic));
        let numbers = numbers.unwrap_or_default().into_iter();
        let numbers = numbers.map(|number| number.to_string());
        let numbers = numbers.filter(|number| number.starts_with(typed));
        numbers
            .map(|number| format!("{topic}:{number}{behind}"))
            .collect()
    }

    /// Groups with this prefix.
    pub fn groups(&self, typed: &str) -> Vec<String> {
        let mut groups = self.store().map(Listing::groups).unwrap_or_default();
        groups.retain(|group| group.starts_with(typed));
        groups
    }

    /// All brokers.
    pub fn brokers(&self) -> Vec<BrokerId> {
        self.store().map(Listing::brokers).unwrap_or_default()
    }

    /// The store that the line names, or the default store.
    fn store(&self) -> Option<&Listing> {
        let open = || {
            let path = store_path(self.given_store()).ok()?;
            Listing::open(&OsDisk, &path)
        };
        self.store.get_or_init(open).as_ref()
    }

    fn given_store(&self) -> Option<PathBuf> {
        let mut words = self.options();
        let word = words.find_map(|word| match word.strip_prefix("--store")? {
            "" => Some(None),
            value => value.strip_prefix('=').map(Some),
        })?;
        word.or_else(|| words.next())
            .map(|path| expanded(path, |name| std::env::var(name).ok()))
    }

    /// The words after the command, up to a `--`.
    fn options(&self) -> impl Iterator<Item = &str> {
        let words = self.words.iter().skip(1).map(String::as_str);
        words.take_while(|word| *word != "--")
    }
}

/// A typed path, in which a home directory or an environment variable at the beginning is replaced,
/// as the shell will do.
fn expanded(path: &str, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let put_in = || {
        if path == "~" || path.starts_with("~/") {
            return Some((variable("HOME")?, &path[1..]));
        }
        let rest = path.strip_prefix('$')?;
        let (name, rest) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}')?,
            None => {
                let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                rest.split_at(rest.find(is_other).unwrap_or(rest.len()))
            }
        };
        Some((variable(name)?, rest))
    };
    match put_in() {
        Some((value, rest)) => PathBuf::from(format!("{value}{rest}")),
        None => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> CommandLine {
        CommandLine::new(text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn the_store_is_the_lines() {
        for (text, store) in [
            ("t list", None),
            ("t --store /a list", Some("/a")),
            ("t list --store=/a", Some("/a")),
            ("t list --store", None),
            ("t list --stored /a", None),
            ("t list -- --store /a", None),
        ] {
            assert_eq!(line(text).given_store(), store.map(PathBuf::from), "{text}");
        }
        assert!(line("t --a -- --b").has_flag("--a") && !line("t -- --b").has_flag("--b"));
    }

    #[test]
    fn paths_are_expanded_at_their_begin_only() {
        let variable = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            "D" => Some("/data".to_owned()),
            _ => None,
        };
        for (typed, path) in [
            ("~", "/home/me"),
            ("~/s", "/home/me/s"),
            ("~you/s", "~you/s"),
            ("$D/s", "/data/s"),
            ("${D}s", "/datas"),
            ("$NO/s", "$NO/s"),
            ("${D", "${D"),
            ("$(rm)/s", "$(rm)/s"),
            ("a$D", "a$D"),
        ] {
            assert_eq!(expanded(typed, variable), PathBuf::from(path), "{typed}");
        }
    }
}
