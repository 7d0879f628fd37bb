//! Options that hands know from kcat, rpk and Kafka's scripts, or that a later version will have,
//! and what stands for them here.

/// Options, and what to do instead.
const HABITS: &[(&[&str], &str)] = &[
    (
        &["-t", "--topic"],
        "topics are named without an option: orders, not -t orders",
    ),
    (
        &[
            "-b",
            "--bootstrap-server",
            "--broker-list",
            "--brokers",
            "-X",
        ],
        "there is no server to name: --store DIR names the store",
    ),
    (
        &["--from-beginning"],
        "reading begins at the start unless -o says otherwise",
    ),
    (&["--max-messages", "--num"], "-c N ends after N records"),
    (
        &["-C", "-P", "-L"],
        "each task has a tool: mq-consume, mq-produce, 'mq-topics describe'",
    ),
    (
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
    (
        &[
            "--under-replicated",
            "--under-replicated-partitions",
            "--offline",
            "--unavailable-partitions",
        ],
        "'mq-topics describe' has --under-replicated and --offline",
    ),
    (
        &["--replica", "--rack"],
        "'mq-consume' reads from --replica ID or --rack RACK; 'mq-broker start --rack' says where a \
         broker stands",
    ),
    (
        &[
            "--execute",
            "--verify",
            "--reassignment-json-file",
            "--election-type",
            "--all-topic-partitions",
        ],
        "'mq-broker reassign T:P=1,2,3' and 'mq-broker elect preferred' do that here",
    ),
    (
        &["--follow", "--resume"],
        "this version does not follow files: tail -F FILE | mq-produce TOPIC",
    ),
    (
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
];

/// What to do instead of `option`, where it is one of those.
pub fn advice(option: &str) -> Option<&'static str> {
    HABITS
        .iter()
        .find(|(names, _)| names.contains(&option))
        .map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_meet_advice() {
        let told = advice("--topic").expect("advice");
        assert!(told.contains("without an option"), "{told}");
        assert!(advice("-b").is_some_and(|told| told.contains("--store")));
        assert!(advice("--replicas").is_some_and(|told| told.contains("create -r N")));
        assert!(advice("--merge").is_some_and(|told| told.contains("this version")));
        assert_eq!(advice("--no-such-option"), None);
    }
}
