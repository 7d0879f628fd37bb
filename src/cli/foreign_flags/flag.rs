//! A flag or word that belongs to another tool, and what to write instead.

/// The replacement for some words in some tools.
pub(crate) struct ForeignFlag {
    /// The tools that it applies to, or commands of theirs such as `mq-groups reset`; empty: all.
    pub(crate) tools: &'static [&'static str],
    pub(crate) words: &'static [&'static str],
    pub(crate) advice: &'static str,
}

pub(crate) const fn everywhere(
    words: &'static [&'static str],
    advice: &'static str,
) -> ForeignFlag {
    ForeignFlag {
        tools: &[],
        words,
        advice,
    }
}

pub(crate) const fn at(
    tools: &'static [&'static str],
    words: &'static [&'static str],
    advice: &'static str,
) -> ForeignFlag {
    ForeignFlag {
        tools,
        words,
        advice,
    }
}

pub(crate) const CONSUME: &[&str] = &["mq-consume"];

pub(crate) const PRODUCE: &[&str] = &["mq-produce"];

pub(crate) const TOPICS: &[&str] = &["mq-topics"];

pub(crate) const GROUPS: &[&str] = &["mq-groups"];

pub(crate) const RESET: &[&str] = &["mq-groups reset"];

pub(crate) const RECORDS: &[&str] = &["mq-consume", "mq-produce"];

pub(crate) const ADMIN: &[&str] = &["mq-topics", "mq-groups", "mq-broker"];

/// Commands that change something without asking.
pub(crate) const NEVER_ASK: &[&str] = &[
    "mq-topics create",
    "mq-topics alter",
    "mq-groups alter",
    "mq-groups commit",
    "mq-broker init",
    "mq-broker stop",
    "mq-broker drain",
    "mq-broker reassign",
    "mq-broker unregister",
];

pub(crate) const TOPICS_BY_OPTION: &str =
    "topics are named with --topic: --topic orders, or --topic orders:0";

pub(crate) const COMPLETIONS: &str = "MQ_COMPLETE=bash (or zsh, or fish) in the environment makes a tool print its \
                           completions: source <(MQ_COMPLETE=bash mq-topics)";
