//! What completes the value of an argument, by the argument's value name: one table for all tools.

use clap::Arg;

use super::line::{CommandLine, Native};
use super::shells::Offer;
use crate::cli::lang::NAMED_POINTS;
use crate::client::groups;
use crate::client::topics::TopicConfigs;
use crate::client::unresolved_offset::UnresolvedOffset;

/// What completes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Topic,
    /// A topic; or a file, if `--each-topic` takes the place of the topic.
    TopicOrFile,
    /// `T` or `T:P`.
    TopicOrPartition,
    /// `T:P` and this text.
    Partition(&'static str),
    /// `T:P=1,2`.
    Reassignment,
    Group,
    Broker,
    /// `0:1,1:2`.
    Brokers,
    TopicConfig,
    TopicConfigName,
    GroupConfig,
    GroupConfigName,
    /// A named point; whether `stored` is allowed.
    Point(bool),
    Native(Native),
}

impl Due {
    /// Whether it is a name from the store.
    fn is_name(self) -> bool {
        match self {
            Due::Topic
            | Due::TopicOrFile
            | Due::TopicOrPartition
            | Due::Partition(_)
            | Due::Reassignment
            | Due::Group
            | Due::Broker
            | Due::Brokers => true,
            Due::TopicConfig
            | Due::TopicConfigName
            | Due::GroupConfig
            | Due::GroupConfigName
            | Due::Point(_)
            | Due::Native(_) => false,
        }
    }
}

/// What completes values of this name; `None`: the values that clap knows, or nothing.
fn due(tool: &str, value: &str) -> Option<Due> {
    Some(match (tool, value) {
        ("mq-produce", "TOPIC") => Due::TopicOrFile,
        (_, "TOPIC") | ("mq-topics", "NAME|GLOB") => Due::Topic,
        (_, "T[:P]|GLOB" | "T[:P]") => Due::TopicOrPartition,
        (_, "T:P") => Due::Partition(""),
        (_, "T:P=N") => Due::Partition("="),
        (_, "T[:P][=BROKERS]") => Due::Reassignment,
        (_, "GROUP" | "GROUP|GLOB" | "OTHER") => Due::Group,
        (_, "ID") => Due::Broker,
        (_, "BROKERS") => Due::Brokers,
        ("mq-topics", "KEY=VALUE") => Due::TopicConfig,
        ("mq-topics", "KEY") => Due::TopicConfigName,
        ("mq-groups", "KEY=VALUE") => Due::GroupConfig,
        ("mq-groups", "KEY") => Due::GroupConfigName,
        // A group's committed offset is no useful target of a reset, and topics have none.
        (_, "POINT") => Due::Point(false),
        (_, "RANGE") => Due::Point(true),
        (_, "FILE" | "CSV") => Due::Native(Native::File),
        (_, "DIR") => Due::Native(Native::Dir),
        (_, "CMD") => Due::Native(Native::Command),
        _ => return None,
    })
}

/// What is offered for a value.
#[derive(Debug)]
pub enum ValueOffers {
    /// What the shell itself offers.
    Native(Native),
    /// These names from the store.
    Names(Vec<Offer>),
    /// These words.
    Words(Vec<Offer>),
}

/// What is offered for a value of this argument of which `text` is typed.
pub fn values(tool: &str, arg: &Arg, line: &CommandLine, text: &str) -> ValueOffers {
    match due_of(tool, arg) {
        None => ValueOffers::Words(possible(arg, text)),
        Some(Due::Native(kind)) => ValueOffers::Native(kind),
        Some(Due::TopicOrFile) if line.has_flag("--each-topic") => {
            ValueOffers::Native(Native::File)
        }
        Some(due) if due.is_name() => ValueOffers::Names(offers(line, due, text)),
        Some(due) => ValueOffers::Words(offers(line, due, text)),
    }
}

/// The values that clap knows.
fn possible(arg: &Arg, text: &str) -> Vec<Offer> {
    let values = arg.get_value_parser().possible_values();
    let shown = values.into_iter().flatten();
    let shown = shown.filter(|value| !value.is_hide_set() && value.get_name().starts_with(text));
    let offer = |value: clap::builder::PossibleValue| {
        let help = value.get_help().map(ToString::to_string);
        Offer::new(value.get_name().to_owned(), help)
    };
    shown.map(offer).collect()
}

fn due_of(tool: &str, arg: &Arg) -> Option<Due> {
    match (tool, arg.get_id().as_str()) {
        // `start` may name a new broker, but an existing one is likelier.
        ("mq-broker", "id") => return Some(Due::Broker),
        ("mq-broker", "group") => return Some(Due::Native(Native::UnixGroup)),
        _ => {}
    }
    let value = arg.get_value_names()?.first()?;
    due(tool, value)
}

fn offers(line: &CommandLine, due: Due, text: &str) -> Vec<Offer> {
    match due {
        Due::Topic => plain(line.topics(text, "")),
        Due::TopicOrFile => partitions(line, text, "", ""),
        Due::TopicOrPartition => partitions(line, text, "", ""),
        Due::Partition(behind) => partitions(line, text, ":", behind),
        Due::Reassignment if line.has_flag("--cancel") => partitions(line, text, "", ""),
        Due::Reassignment if text.contains('=') => brokers(line, text, &['=', ',']),
        Due::Reassignment => partitions(line, text, "=", "="),
        Due::Group => plain(line.groups(text)),
        Due::Broker => brokers(line, text, &[]),
        Due::Brokers => brokers(line, text, &[',', ':']),
        Due::TopicConfig => topic_configs(text),
        Due::TopicConfigName => helped(text, TopicConfigs::names(), "", TopicConfigs::allowed),
        Due::GroupConfig => helped(text, groups::config_names(), "=", |_| None),
        Due::GroupConfigName => helped(text, groups::config_names(), "", |_| None),
        Due::Point(stored) => {
            let points = NAMED_POINTS.into_iter();
            let points = points.filter(|(_, point)| stored || *point != UnresolvedOffset::Stored);
            helped(text, points.map(|(name, _)| name), "", |_| None)
        }
        Due::Native(_) => Vec::new(),
    }
}

fn plain(names: Vec<String>) -> Vec<Offer> {
    let offer = |name| Offer::new(name, None);
    names.into_iter().map(offer).collect()
}

/// Topics, with `behind_topic` after each; after a colon partitions, with `behind_partition`.
fn partitions(
    line: &CommandLine,
    text: &str,
    behind_topic: &str,
    behind_partition: &str,
) -> Vec<Offer> {
    plain(match text.split_once(':') {
        None => line.topics(text, behind_topic),
        Some((topic, number)) => line.partitions(topic, number, behind_partition),
    })
}

/// Brokers' ids, as the first word or after one of these characters.
fn brokers(line: &CommandLine, text: &str, behind: &[char]) -> Vec<Offer> {
    let begins = text.rfind(behind).map_or(0, |at| at + 1);
    let (head, typed) = text.split_at(begins);
    let ids = line.brokers().into_iter().map(|id| id.to_string());
    let ids = ids.filter(|id| id.starts_with(typed));
    plain(ids.map(|id| format!("{head}{id}")).collect())
}

/// `NAME=`, and after it the config's named values.
fn topic_configs(text: &str) -> Vec<Offer> {
    let Some((name, value)) = text.split_once('=') else {
        return helped(text, TopicConfigs::names(), "=", TopicConfigs::allowed);
    };
    let words = TopicConfigs::words(name).iter();
    let words = words.filter(|word| word.starts_with(value));
    plain(words.map(|word| format!("{name}={word}")).collect())
}

fn helped(
    text: &str,
    names: impl Iterator<Item = &'static str>,
    behind: &str,
    help: fn(&str) -> Option<&'static str>,
) -> Vec<Offer> {
    let names = names.filter(|name| name.starts_with(text));
    let offer = |name: &str| Offer::new(format!("{name}{behind}"), help(name).map(Into::into));
    names.map(offer).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Command;

    use super::*;
    use crate::cli::docs;

    /// Values that cannot be completed: numbers, times, texts, new names.
    const FREE: [&str; 15] = [
        "BYTES",
        "DELIM",
        "DURATION",
        "KEY",
        "LIST",
        "N",
        "NAME",
        "NAME[=VALUE]",
        "N|DURATION",
        "RACK",
        "RATE",
        "REGEX",
        "TEMPLATE",
        "TEXT",
        "TIME",
    ];

    /// A value name that is missing from both tables would silently have no completion.
    #[test]
    fn every_value_is_due_something_or_free() {
        fn observe(tool: &str, command: &Command, known: &mut BTreeSet<String>) {
            for arg in command.get_arguments() {
                let takes_value = arg.is_positional() || arg.get_action().takes_values();
                let by_clap = arg.get_value_parser().possible_values().is_some();
                if !takes_value || by_clap {
                    continue;
                }
                let names = arg.get_value_names().expect("a value has a name");
                let name = names.first().expect("a value has a name");
                let place = format!("{} {}", command.get_name(), arg.get_id());
                assert!(
                    due_of(tool, arg).is_some() || FREE.contains(&name.as_str()),
                    "{tool} {place}: say in src/cli/complete/due.rs what completes {name}"
                );
                known.extend(due_of(tool, arg).map(|due| format!("{due:?}")));
            }
            for sub in command.get_subcommands() {
                observe(tool, sub, known);
            }
        }
        let mut known = BTreeSet::new();
        for command in docs::commands() {
            observe(command.get_name(), &command, &mut known);
        }
        assert_eq!(known.len(), 19, "{known:?}");
    }
}
