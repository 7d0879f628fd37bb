//! Options and commands that hands know from kcat, rpk, Kafka's scripts, tail and journalctl, or that a
//! later version will have, and what stands for them here.

/// What stands for some words in some tools.
struct Habit {
    /// The tools that it holds for; none: for all.
    tools: &'static [&'static str],
    words: &'static [&'static str],
    advice: &'static str,
}

const fn everywhere(words: &'static [&'static str], advice: &'static str) -> Habit {
    Habit {
        tools: &[],
        words,
        advice,
    }
}

const fn at(
    tools: &'static [&'static str],
    words: &'static [&'static str],
    advice: &'static str,
) -> Habit {
    Habit {
        tools,
        words,
        advice,
    }
}

const CONSUME: &[&str] = &["mq-consume"];
const PRODUCE: &[&str] = &["mq-produce"];
const TOPICS: &[&str] = &["mq-topics"];
const RECORDS: &[&str] = &["mq-consume", "mq-produce"];
const ADMIN: &[&str] = &["mq-topics", "mq-groups", "mq-broker"];

/// The first that fits counts.
const HABITS: &[Habit] = &[
    everywhere(
        &["-t", "--topic", "--topics"],
        "topics are named without an option: orders, not -t orders",
    ),
    everywhere(
        &[
            "-b",
            "--bootstrap-server",
            "--broker-list",
            "--brokers",
            "-X",
        ],
        "there is no server to name: --store DIR names the store",
    ),
    at(
        CONSUME,
        &["--from-beginning"],
        "reading begins at the start unless -o says otherwise",
    ),
    at(
        CONSUME,
        &[
            "-n",
            "-1",
            "-2",
            "-3",
            "-4",
            "-5",
            "-6",
            "-7",
            "-8",
            "-9",
            "--lines",
            "--limit",
            "--max-messages",
            "--num",
            "--count",
        ],
        "-c N ends after N records; --tail N begins with the last N, -o -N with the last N of each \
         partition",
    ),
    at(
        CONSUME,
        &["-F", "--follow"],
        "mq-consume follows what comes, unless -e ends it",
    ),
    at(
        PRODUCE,
        &["-F", "--follow", "--resume"],
        "this version does not follow files: tail -F FILE | mq-produce TOPIC",
    ),
    at(
        CONSUME,
        &["--since", "--after", "-S", "--start", "--from", "--offset"],
        "-o says where to begin: -o @-10m (ten minutes ago), -o @today, -o @2026-01-31, -o 17",
    ),
    at(
        CONSUME,
        &["--until", "--before", "-U", "--to", "--stop"],
        "-o A:B says where to end: -o :@-10m, -o @yesterday:@today, -o 10:20",
    ),
    at(
        CONSUME,
        &["--exit", "--exit-eof", "--no-follow"],
        "-e ends at the end",
    ),
    at(
        CONSUME,
        &["--timeout-ms", "--timeout"],
        "--idle-timeout 10s ends when nothing came for so long",
    ),
    at(
        CONSUME,
        &["-v", "--invert"],
        "--invert-match turns --key and --grep round; notes come unless -q silences them",
    ),
    at(
        CONSUME,
        &[
            "--property",
            "--formatter",
            "--format-options",
            "--pretty-print",
            "--print-key",
        ],
        "-f prints what is asked for, such as -f '%k=%v\\n'; -K DELIM puts the key before the value",
    ),
    at(
        RECORDS,
        &["--json", "--output-json", "--input-json"],
        "-J reads and prints records as a JSON object a line",
    ),
    at(
        PRODUCE,
        &[
            "--property",
            "--reader-property",
            "--reader-config",
            "--line-reader",
        ],
        "--input-format console reads headers, key and value with tabs between; -K DELIM parts the key \
         from the value",
    ),
    at(
        RECORDS,
        &["--key-separator", "--key-delimiter", "--parse-key"],
        "-K DELIM parts the key from the value",
    ),
    at(
        RECORDS,
        &["--output", "--output-format", "-O"],
        "-f TEMPLATE or -J says how records are printed",
    ),
    at(
        PRODUCE,
        &["-l", "--file", "--input"],
        "files follow the topic: mq-produce TOPIC FILE; a line is a record",
    ),
    at(
        ADMIN,
        &[
            "--json",
            "--output",
            "--output-format",
            "-O",
            "-J",
            "--tsv",
            "--csv",
        ],
        "--format json or --format tsv prints for scripts",
    ),
    at(
        TOPICS,
        &["--config", "--configs"],
        "-c NAME=VALUE sets a config",
    ),
    everywhere(
        &["-v", "--verbose", "--debug"],
        "notes come on standard error unless -q silences them",
    ),
    everywhere(
        &["-C", "-P", "-L"],
        "each task has a tool: mq-consume, mq-produce, 'mq-topics describe'",
    ),
    everywhere(
        &[
            "-r",
            "--replication-factor",
            "--replicas",
            "--replica-assignment",
            "--assign",
        ],
        "replicas are said where a topic is made, mq-topics create -r N or --assign 0:1,1:2, and moved \
         with 'mq-broker reassign TOPIC=1,2,3'",
    ),
    everywhere(
        &[
            "--under-replicated",
            "--under-replicated-partitions",
            "--offline",
            "--unavailable-partitions",
        ],
        "'mq-topics describe' has --under-replicated and --offline",
    ),
    everywhere(
        &["--replica", "--rack"],
        "'mq-consume' reads from --replica ID or --rack RACK; 'mq-broker start --rack' says where a \
         broker stands",
    ),
    everywhere(
        &[
            "--execute",
            "--verify",
            "--reassignment-json-file",
            "--election-type",
            "--all-topic-partitions",
        ],
        "'mq-broker reassign T:P=1,2,3' and 'mq-broker elect preferred' do that here",
    ),
    everywhere(
        &[
            "--transaction",
            "--isolation",
            "--merge",
            "--segment",
            "--latest-per-key",
            "--listen",
        ],
        "there is no such option here in this version",
    ),
    // Commands.
    everywhere(&["rm", "remove", "del"], "that is 'delete' here"),
    everywhere(&["ls"], "that is 'list' here"),
    everywhere(
        &["show", "info", "inspect", "get", "desc"],
        "that is 'describe' here",
    ),
    at(
        TOPICS,
        &["add", "new", "make", "mk"],
        "that is 'create' here; 'alter --partitions N' adds partitions",
    ),
    at(
        TOPICS,
        &[
            "config",
            "configs",
            "set",
            "edit",
            "add-partitions",
            "alter-config",
        ],
        "'alter TOPIC -c NAME=VALUE' changes a config, 'alter TOPIC --partitions N' adds partitions",
    ),
    at(
        TOPICS,
        &["consume", "tail", "cat", "read"],
        "mq-consume TOPIC reads records",
    ),
    at(
        TOPICS,
        &["produce", "write", "send"],
        "mq-produce TOPIC stores records",
    ),
    at(
        TOPICS,
        &[
            "delete-records",
            "trim",
            "trim-prefix",
            "truncate",
            "compact",
        ],
        "records cannot be deleted one by one, nor a log be trimmed, in this version",
    ),
    at(&["mq-groups"], &["seek"], "that is 'reset' here"),
];

/// What to do instead of a word in a tool, where it is one of those.
pub fn advice(tool: &str, word: &str) -> Option<&'static str> {
    let fits = |habit: &&Habit| {
        habit.words.contains(&word) && (habit.tools.is_empty() || habit.tools.contains(&tool))
    };
    HABITS.iter().find(fits).map(|habit| habit.advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_meet_advice() {
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
        ] {
            let told = advice(tool, word).expect(word);
            assert!(told.contains(says), "{tool} {word}: {told}");
        }
        assert_eq!(advice("mq-consume", "--no-such-option"), None);
        assert_eq!(advice("mq-produce", "rm-rf"), None);
    }
}
