//! Options and commands that users know from kcat, rpk, Kafka's scripts, tail and journalctl, or
//! that a later version will have, and what to use in mq.

mod commands;
mod conflicts;
mod flag;
mod options;

use commands::COMMANDS;
pub use conflicts::{missing, unlike};
use flag::{ForeignFlag, TOPICS_BY_OPTION};
use options::OPTIONS;

/// How to say what a further positional word stands for, in commands that take one name or none.
pub fn second_name(tool: &str, command: Option<&str>) -> Option<&'static str> {
    match (tool, command?) {
        ("mq-groups", "reset" | "delete-offsets" | "peek" | "wait") => Some(TOPICS_BY_OPTION),
        ("mq-broker", "start") => Some("the broker is named with --id: mq-broker start --id 1"),
        _ => None,
    }
}

/// What to do instead of such a word in a tool or a command of it.
pub fn advice(tool: &str, command: Option<&str>, word: &str) -> Option<&'static str> {
    let whole = command.map(|command| format!("{tool} {command}"));
    let holds = |of: &str| of == tool || whole.as_deref() == Some(of);
    let fits = |flag: &&ForeignFlag| {
        flag.words.contains(&word)
            && (flag.tools.is_empty() || flag.tools.iter().any(|of| holds(of)))
    };
    OPTIONS
        .iter()
        .chain(COMMANDS)
        .find(fits)
        .map(|flag| flag.advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_flags_meet_advice() {
        for (tool, word, says) in [
            ("mq-consume", "--topic", "without an option"),
            ("mq-produce", "-b", "--store"),
            ("mq-produce", "--replicas", "create -r N"),
            ("mq-consume", "--merge", "this version"),
            ("mq-consume", "--follow", "unless -e"),
            ("mq-produce", "--follow", "tail -F FILE"),
            ("mq-consume", "-n", "--tail N"),
            ("mq-consume", "--json", "-J"),
            ("mq-topics", "--json", "--format json"),
            ("mq-topics", "rm", "'delete'"),
            ("mq-broker", "ls", "'list'"),
            ("mq-groups reset", "--execute", "--yes"),
            ("mq-broker reassign", "--execute", "T:P=1,2,3"),
            ("mq-groups reset", "--to-earliest", "--to start"),
            ("mq-groups describe", "--topic", "all topics"),
            ("mq-topics describe", "--configs", "--format json"),
            ("mq-topics alter", "--config", "sets a config"),
            ("mq-topics", "--list", "no dashes"),
            ("mq-produce", "-X", "--linger"),
            ("mq-produce", "--partitions", "--create-partitions N"),
            ("mq-produce", "--isolation-level", "no transactions"),
            ("mq-produce", "--skip-message-on-error", "--on-error skip"),
            ("mq-produce", "-s", "no serdes"),
            ("mq-produce", "--completions", "MQ_COMPLETE=bash"),
            ("mq-consume", "--isolation-level", "every record is read"),
            ("mq-consume", "--skip-message-on-error", "mq-groups skip"),
            ("mq-consume", "--grep-key", "--key-regex"),
            ("mq-consume", "--exclude-regex", "--invert-match"),
            ("mq-consume", "-x", "'^text$'"),
            ("mq-consume", "--pretty", "jq ."),
            ("mq-topics", "purge", "trim TOPIC --to end"),
            ("mq-topics", "delete-records", "trim TOPIC --to POINT"),
            ("mq-topics", "compact", "cannot be compacted"),
            ("mq-topics", "rename", "create NEW --like OLD"),
            ("mq-topics", "rename", "--keep-partition"),
            ("mq-topics", "completion", "MQ_COMPLETE=bash"),
            ("mq-topics", "disk-usage", "--sizes"),
            ("mq-topics", "du", "--sizes"),
            ("mq-topics dump", "--records", "not of a lone file"),
            ("mq-topics dump", "--print-data-log", "not of a lone file"),
            ("mq-topics list", "-d", "--sizes"),
            ("mq-topics describe", "-p", "describe TOPIC:N"),
            ("mq-topics create", "--yes", "does not ask"),
            ("mq-topics delete", "--no-confirm", "--yes"),
            ("mq-groups clone", "--to", "clone GROUP OTHER"),
            ("mq-groups check", "--warning", "--warn N"),
            ("mq-groups check", "-c", "--critical N"),
            ("mq-groups commit", "--yes", "does not ask"),
            ("mq-broker unregister", "-y", "does not ask"),
            ("mq-broker reassign", "--no-confirm", "does not ask"),
            ("mq-broker", "decommission", "unregister ID"),
            ("mq-broker", "maintenance", "--undo"),
            ("mq-broker stop", "--id", "mq-broker stop 1"),
            ("mq-broker drain", "--id", "mq-broker drain 1"),
            ("mq-broker unregister", "--id", "mq-broker unregister 1"),
            ("mq-groups reset", "-t", "with --topic"),
            ("mq-groups peek", "-t", "with --topic"),
            ("mq-groups delete-offsets", "-t", "with --topic"),
            ("mq-groups reset", "-o", "--to 5"),
            ("mq-consume", "-F", "followed without an option"),
            ("mq-consume", "-F", "--header NAME=VALUE"),
            ("mq-consume", "--group-id", "-g GROUP"),
            ("mq-consume", "--max", "-c N"),
            ("mq-consume", "-m", "-c N"),
            ("mq-topics offsets", "-p", "orders:0"),
        ] {
            let mut tool = tool.split(' ');
            let (name, command) = (tool.next().unwrap_or_default(), tool.next());
            let reported = advice(name, command, word).expect(word);
            assert!(reported.contains(says), "{name} {word}: {reported}");
        }
        assert_eq!(advice("mq-consume", None, "--no-such-option"), None);
        assert_eq!(advice("mq-produce", None, "rm-rf"), None);
        assert_eq!(second_name("mq-groups", Some("describe")), None);
        let start = second_name("mq-broker", Some("start"));
        assert!(start.is_some_and(|tip| tip.contains("--id 1")), "{start:?}");
    }
}
