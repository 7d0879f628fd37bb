//! Options that conflict or require another one, and how to reach the goal otherwise.

/// Two options of a tool, by their names in clap, and what to use for both purposes at once.
struct Conflict {
    tool: &'static str,
    one: &'static str,
    others: &'static [&'static str],
    advice: &'static str,
}

const fn between(
    tool: &'static str,
    one: &'static str,
    others: &'static [&'static str],
    advice: &'static str,
) -> Conflict {
    Conflict {
        tool,
        one,
        others,
        advice,
    }
}

const CONSUME: &str = "mq-consume";
const PRODUCE: &str = "mq-produce";

const CONFLICTS: &[Conflict] = &[
    between(
        CONSUME,
        "--tail",
        &["--offset"],
        "--tail N begins with the last N records, -o at a point; for the last 10 of an hour: mq-consume \
         -e -o @-1h TOPIC | tail -n 10",
    ),
    between(
        CONSUME,
        "--group",
        &["--tail"],
        "a group continues where it has committed: leave out -g, or move the group back first with \
         'mq-groups reset GROUP --by -N'",
    ),
    between(
        CONSUME,
        "--group",
        &["--partitions"],
        "the members of a group share all partitions of its topics: leave out -g, or start one member \
         for each partition",
    ),
    between(
        CONSUME,
        "--replica",
        &["--rack"],
        "--replica names one broker, --rack picks a replica on that rack: leave one out",
    ),
    between(
        CONSUME,
        "--format",
        &["-D", "--null"],
        "a template says itself what ends a record: -f '%v\\0'",
    ),
    between(
        CONSUME,
        "--format",
        &["-K"],
        "a template prints the key with %k: -f '%k=%v\\n'",
    ),
    between(
        CONSUME,
        "--json",
        &["-D", "--null", "-K"],
        "-J prints key and value, one record a line; -f prints anything else: -f '%k=%v{json}\\0'",
    ),
    between(
        PRODUCE,
        "--format",
        &["-D", "--null"],
        "a template says itself what ends a record: -f '%v\\0'",
    ),
    between(
        PRODUCE,
        "--format",
        &["-K"],
        "a template reads the key with %k: -f '%k=%v\\n'",
    ),
    between(
        PRODUCE,
        "--json",
        &["-D", "--null", "-K"],
        "with -J each line is a record that names its key: leave the other out",
    ),
    between(
        PRODUCE,
        "--whole",
        &["-D", "--null", "--begins", "--json", "--format"],
        "--whole makes one record of each file: leave it out to divide files into records",
    ),
    between(
        PRODUCE,
        "--tee",
        &["--echo"],
        "-o '%v\\n' prints each value as -T does; add fields to it: -o '%p %o %v\\n'",
    ),
    between(
        PRODUCE,
        "--partition",
        &["--keep-partition"],
        "-p sends all records to one partition, --keep-partition each to the one that it names: leave \
         one out",
    ),
    between(
        PRODUCE,
        "--partition",
        &["--partitioner", "--keyless"],
        "-p sends all records to one partition, so there is nothing to spread: leave one out",
    ),
    between(
        PRODUCE,
        "--no-create",
        &["--create-partitions"],
        "--no-create fails if the topic is missing, --create-partitions creates it: leave one out",
    ),
    between(
        CONSUME,
        "--format",
        &["--json"],
        "-J is the same as -f json: leave one out",
    ),
    between(
        PRODUCE,
        "--format",
        &["--json"],
        "-J is the same as -f json: leave one out",
    ),
    between(
        CONSUME,
        "--null",
        &["-D"],
        "-0 is the same as -D '\\0': leave one out",
    ),
    between(
        PRODUCE,
        "--null",
        &["-D"],
        "-0 is the same as -D '\\0': leave one out",
    ),
];

/// What to do instead of giving both options, each as clap names it: `--tail <N>`.
pub fn unlike(tool: &str, one: &str, other: &str) -> Option<&'static str> {
    let (one, other) = (name(one), name(other));
    let fits = |conflict: &&Conflict| {
        let is = |a: &str, b: &str| conflict.one == a && conflict.others.contains(&b);
        conflict.tool == tool && (is(one, other) || is(other, one))
    };
    CONFLICTS.iter().find(fits).map(|conflict| conflict.advice)
}

/// The purpose of an option that others require and that was not given.
pub fn missing(tool: &str, option: &str) -> Option<&'static str> {
    match (tool, name(option)) {
        (CONSUME, "--group") => Some(
            "this option is for a group: add -g GROUP, to continue where the group has committed",
        ),
        (CONSUME, "--exec") => Some(
            "this option is for a command that handles records: mq-consume -g GROUP TOPIC --exec CMD",
        ),
        _ => None,
    }
}

fn name(shown: &str) -> &str {
    shown.split([' ', '=']).next().unwrap_or(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::docs;

    /// If an option were renamed, its advice would never be shown.
    #[test]
    fn each_conflict_is_one() {
        for conflict in CONFLICTS {
            let all = docs::commands();
            let tool = all.iter().find(|tool| tool.get_name() == conflict.tool);
            let tool = tool.expect("a tool");
            for other in conflict.others {
                let words = [conflict.one, other].map(|option| {
                    let is_meant = |arg: &&clap::Arg| match option.strip_prefix("--") {
                        Some(long) => arg.get_long() == Some(long),
                        None => arg.get_short() == option.chars().nth(1),
                    };
                    let arg = tool.get_arguments().find(is_meant).expect(option);
                    let values = arg.get_value_parser().possible_values();
                    let first = values.and_then(|mut values| values.next());
                    let value = first.map_or("1".to_owned(), |value| value.get_name().to_owned());
                    match (arg.get_action().takes_values(), option.len()) {
                        (true, 2) => format!("{option}{value}"),
                        (true, _) => format!("{option}={value}"),
                        (false, _) => option.to_owned(),
                    }
                });
                let line = [conflict.tool.to_owned(), "t".to_owned()].into_iter();
                let refused = tool.clone().try_get_matches_from(line.chain(words.clone()));
                let refused = refused.expect_err(conflict.one);
                assert_eq!(
                    refused.kind(),
                    clap::error::ErrorKind::ArgumentConflict,
                    "{words:?}: {refused}"
                );
                let reported = crate::cli::report::conflict_advice(conflict.tool, &refused);
                assert_eq!(reported, Some(conflict.advice), "{words:?}: {refused}");
            }
        }
    }
}
