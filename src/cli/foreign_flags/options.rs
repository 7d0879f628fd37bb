//! Options of other tools that mq does not have.

use super::flag::{
    ADMIN, COMPLETIONS, CONSUME, ForeignFlag, GROUPS, NEVER_ASK, PRODUCE, RECORDS, RESET, TOPICS,
    TOPICS_BY_OPTION, at, everywhere,
};

/// The first match counts.
pub(crate) const OPTIONS: &[ForeignFlag] = &[
    // Words with a special meaning in one command.
    at(
        &["mq-broker stop"],
        &["--id"],
        "the broker is named without an option: mq-broker stop 1",
    ),
    at(
        &["mq-broker drain"],
        &["--id"],
        "the broker is named without an option: mq-broker drain 1",
    ),
    at(
        &["mq-broker unregister"],
        &["--id"],
        "the broker is named without an option: mq-broker unregister 1",
    ),
    at(
        &[
            "mq-groups reset",
            "mq-groups peek",
            "mq-groups delete-offsets",
            "mq-groups wait",
        ],
        &["-t", "--topics"],
        TOPICS_BY_OPTION,
    ),
    at(
        &["mq-groups describe", "mq-groups list", "mq-groups watch"],
        &["--topic", "-t"],
        "all topics of a group are shown: pick rows with --format json | jq, or 'mq-groups peek \
         GROUP --topic T' for records",
    ),
    at(
        &[
            "mq-groups",
            "mq-groups describe",
            "mq-groups reset",
            "mq-groups delete",
        ],
        &["--group", "-g"],
        "groups are named without an option: mq-groups describe GROUP",
    ),
    at(
        &["mq-groups"],
        &["--all-groups", "--offsets"],
        "mq-groups describe shows the offsets of all groups unless some are named",
    ),
    at(
        RESET,
        &["--execute", "--force"],
        "--yes makes the change without a question",
    ),
    at(RESET, &["--shift-by"], "--by N moves on by N, --by -N back"),
    at(
        RESET,
        &["--to-earliest", "--to-beginning"],
        "--to start moves to the start",
    ),
    at(
        RESET,
        &["--to-latest", "--to-end"],
        "--to end moves to the end",
    ),
    at(
        RESET,
        &["--to-datetime"],
        "--to @TIME moves to a time, such as --to @2026-01-31T10:00",
    ),
    at(
        RESET,
        &["--to-offset", "-o", "--offset"],
        "--to N moves to offset N: --to 5",
    ),
    at(
        RESET,
        &["--by-duration"],
        "--to @-1h moves to the records of the last hour",
    ),
    at(
        RESET,
        &["--to-current"],
        "offsets stay where they are unless a reset moves them",
    ),
    at(
        RESET,
        &["--all-topics"],
        "all topics of the group are moved unless --topic names some",
    ),
    at(
        &["mq-groups describe"],
        &["--watch", "--refresh"],
        "'mq-groups watch' shows groups live",
    ),
    at(
        &["mq-groups"],
        &["--state"],
        "'mq-groups list' shows each group's state",
    ),
    at(
        &["mq-groups check"],
        &["-w", "-c", "--warning", "--crit"],
        "--warn N and --critical N say what is too much, in records or as a duration",
    ),
    at(
        ADMIN,
        &["--sort", "--sort-by"],
        "rows come in the order of their names: --format tsv | sort",
    ),
    at(
        &["mq-topics describe", "mq-topics list"],
        &["-c", "--config", "--configs"],
        "'mq-topics describe --format json' shows all configs; 'mq-topics alter -c NAME=VALUE' sets \
         one",
    ),
    at(
        &["mq-topics alter"],
        &["--delete-config", "--remove-config"],
        "--unset NAME resets a config to its default",
    ),
    at(
        &["mq-topics offsets"],
        &["--time", "--timestamp", "-o", "--offset"],
        "--at says where: --at end, --at start, --at @TIME",
    ),
    at(
        &["mq-topics dump"],
        &["--files"],
        "--file FILE shows the batches of one segment file",
    ),
    at(
        &["mq-topics dump"],
        &["--print-data-log", "--deep-iteration", "--records"],
        "dump shows batches; mq-consume -J prints the records of a topic, but not of a lone file",
    ),
    at(
        &["mq-topics describe"],
        &["-p", "--partition", "--partitions"],
        "a partition is named behind its topic: mq-topics describe TOPIC:N",
    ),
    at(
        &["mq-topics offsets", "mq-topics verify", "mq-topics dump"],
        &["-p", "--partition", "--partitions"],
        "a partition is named behind its topic: orders:0",
    ),
    at(
        &["mq-topics list"],
        &["-d", "--detailed", "-l"],
        "--sizes adds offsets and bytes; 'mq-topics describe' shows partitions and configs",
    ),
    at(
        &["mq-groups clone"],
        &["--to", "--as"],
        "the other group is named without an option: mq-groups clone GROUP OTHER",
    ),
    at(
        NEVER_ASK,
        &["--yes", "-y", "--no-confirm"],
        "it is not needed: this command does not ask",
    ),
    at(
        ADMIN,
        &["--no-confirm"],
        "--yes makes the change without a question",
    ),
    at(
        TOPICS,
        &["--list", "--describe", "--create", "--delete", "--alter"],
        "commands have no dashes: mq-topics list, describe, create, delete, alter",
    ),
    at(
        GROUPS,
        &["--list", "--describe", "--delete", "--reset-offsets"],
        "commands have no dashes: mq-groups list, describe, delete, reset",
    ),
    at(
        CONSUME,
        &["-F"],
        "records are followed without an option; --header NAME=VALUE, --key K, --key-regex RE and --grep \
         RE are the filters",
    ),
    at(
        CONSUME,
        &["-H", "--filter"],
        "--header NAME=VALUE keeps the records with that header; --key K, --key-regex RE and --grep RE \
         are the other filters",
    ),
    at(
        CONSUME,
        &["-i", "--ignore-case"],
        "(?i) in a pattern ignores case: --grep '(?i)error'",
    ),
    at(
        CONSUME,
        &["--reverse"],
        "records come in their order: --tail N | tac reverses the last N",
    ),
    at(
        CONSUME,
        &["-Q"],
        "'mq-topics offsets TOPIC --at @TIME' asks for the offset of a time",
    ),
    at(
        RECORDS,
        &["-Z"],
        "--null-marker TEXT stands for a null value",
    ),
    at(
        CONSUME,
        &["-u", "--line-buffered", "--unbuffered"],
        "records are printed as soon as they are stored",
    ),
    at(
        PRODUCE,
        &["--line-buffered", "--unbuffered"],
        "a record is stored as soon as the input pauses; --linger waits longer",
    ),
    at(
        CONSUME,
        &["--isolation-level", "--isolation"],
        "this version has no transactions: every record is read",
    ),
    at(
        PRODUCE,
        &[
            "--isolation-level",
            "--isolation",
            "--transaction",
            "--transactional-id",
        ],
        "this version has no transactions: each record is stored for itself",
    ),
    at(
        CONSUME,
        &["--skip-message-on-error"],
        "records are printed whatever they contain; 'mq-groups skip GROUP T:P' skips one for a group",
    ),
    at(
        PRODUCE,
        &["--skip-message-on-error"],
        "--on-error skip skips bad records",
    ),
    at(
        RECORDS,
        &["-s"],
        "there are no serdes: -f names a number's format, such as %k{big32}, and -J is JSON",
    ),
    at(
        CONSUME,
        &["--grep-key", "--key-grep"],
        "--key-regex REGEX keeps the records whose key matches",
    ),
    at(
        CONSUME,
        &["--exclude", "--exclude-regex", "--grep-v"],
        "--invert-match prints what does not match: --grep REGEX --invert-match",
    ),
    at(
        CONSUME,
        &["-x", "--line-regexp"],
        "^ and $ match the ends of the value: --grep '^text$'",
    ),
    at(
        CONSUME,
        &["--pretty"],
        "jq prints JSON over several lines: mq-consume -J TOPIC | jq .",
    ),
    at(
        PRODUCE,
        &["--partitions"],
        "--create-partitions N is for a topic that is created; --partition N sends all records to one",
    ),
    everywhere(
        &["--completions", "--completion", "--generate-completion"],
        COMPLETIONS,
    ),
    at(
        CONSUME,
        &["--group-id", "--group.id", "--consumer-group", "-G"],
        "-g GROUP reads as a member of that group: mq-consume -g billing orders",
    ),
    at(CONSUME, &["--exit-on-end"], "-e stops at the end"),
    at(
        PRODUCE,
        &[
            "-X",
            "--producer-property",
            "--request-required-acks",
            "--compression-codec",
        ],
        "options stand for producer properties: --acks, --linger, --batch-size, --compression",
    ),
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
            "--max",
            "-m",
        ],
        "-c N ends after N records; --tail N begins with the last N, -o -N with the last N of each \
         partition",
    ),
    at(
        CONSUME,
        &["--follow"],
        "mq-consume follows new records unless -e is given",
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
        "-e stops at the end",
    ),
    at(
        CONSUME,
        &["--timeout-ms", "--timeout"],
        "--idle-timeout 10s ends when no record has arrived for 10 s",
    ),
    at(
        CONSUME,
        &["-v", "--invert"],
        "--invert-match prints what does not match; -q silences notes",
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
        "--input-format console reads headers, key and value with tabs between; -K DELIM separates the key \
         from the value",
    ),
    at(
        RECORDS,
        &["--key-separator", "--key-delimiter", "--parse-key"],
        "-K DELIM separates the key from the value",
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
        "replicas are given when a topic is created (mq-topics create -r N or --assign 0:1,1:2) \
         and moved with 'mq-broker reassign TOPIC=1,2,3'",
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
        "'mq-consume' reads from --replica ID or --rack RACK; 'mq-broker start --rack' names a \
         broker's rack",
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
            "--merge",
            "--segment",
            "--latest-per-key",
            "--listen",
        ],
        "there is no such option here in this version",
    ),
];
