//! Commands of other tools that mq does not have.

use super::flag::{COMPLETIONS, ForeignFlag, GROUPS, TOPICS, at, everywhere};

/// The first match counts.
pub(crate) const COMMANDS: &[ForeignFlag] = &[
    everywhere(&["rm", "remove", "del"], "write 'delete'"),
    everywhere(&["ls"], "write 'list'"),
    everywhere(
        &["show", "info", "inspect", "get", "desc"],
        "write 'describe'",
    ),
    at(
        TOPICS,
        &["add", "new", "make", "mk"],
        "write 'create'; 'alter --partitions N' adds partitions",
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
        &["delete-records", "trim-prefix", "truncate"],
        "'trim TOPIC --to POINT' removes the records before a point",
    ),
    at(
        TOPICS,
        &["compact"],
        "a log cannot be compacted in this version; 'trim TOPIC --to POINT' removes its oldest records",
    ),
    at(
        TOPICS,
        &["count", "size", "sizes", "du", "disk-usage"],
        "'mq-topics list --sizes' shows how many offsets and bytes each topic holds",
    ),
    at(
        TOPICS,
        &["purge", "empty", "clear"],
        "'trim TOPIC --to end' removes all records; the next record's offset is the same as without it",
    ),
    at(
        TOPICS,
        &["rename", "mv"],
        "a topic keeps its name, but can be copied: mq-topics create NEW --like OLD && mq-consume -J -e \
         OLD | mq-produce -J --keep-partition NEW",
    ),
    at(
        TOPICS,
        &["copy", "cp", "clone"],
        "mq-topics create NEW --like OLD && mq-consume -J -e OLD | mq-produce -J --keep-partition NEW \
         copies a topic",
    ),
    at(GROUPS, &["seek"], "write 'reset'"),
    at(
        GROUPS,
        &["lag", "offsets", "status"],
        "'mq-groups describe' shows offsets and lag",
    ),
    at(
        GROUPS,
        &["state"],
        "'mq-groups list' shows each group's state",
    ),
    at(
        &["mq-broker"],
        &["decommission", "remove-broker", "retire"],
        "'mq-broker drain ID' moves its leaders off, 'mq-broker reassign TOPIC=IDS --wait' its replicas; \
         then 'mq-broker stop ID && mq-broker unregister ID'",
    ),
    at(
        &["mq-broker"],
        &["maintenance"],
        "'mq-broker drain ID' moves all leaders off a broker, 'mq-broker drain ID --undo' lets it lead again",
    ),
    everywhere(&["completion", "completions"], COMPLETIONS),
];
