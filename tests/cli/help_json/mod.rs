//! `--help-json`: the same as `--help`, whole, and with the fields that programs rely on.
//! `MQ_BLESS=1` rewrites tests/snapshots/help_json.

mod given;

use crate::cli;
use crate::snapshot;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::cli::Shell;

const TOOLS: [&str; 5] = [
    "mq-produce",
    "mq-consume",
    "mq-topics",
    "mq-groups",
    "mq-broker",
];

fn json(shell: &Shell, tool: &str, args: &[&str]) -> Value {
    let done = shell.run(tool, &[args, &["--help-json"]].concat(), b"");
    assert_eq!((done.status, done.err.as_str()), (0, ""), "{tool} {args:?}");
    assert_eq!(done.text().lines().count(), 1, "{tool} {args:?}");
    serde_json::from_slice(&done.out).expect("JSON")
}

fn list<'a>(value: &'a Value, field: &str) -> &'a Vec<Value> {
    value[field].as_array().expect(field)
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let all = list(value, field).iter();
    all.map(|text| text.as_str().expect(field).to_owned())
        .collect()
}

/// Calls `f` with each command of each tool and the words behind the tool's name.
fn each_command(shell: &Shell, mut f: impl FnMut(&str, &[&str], &Value)) -> usize {
    fn go(
        tool: &str,
        path: &[&str],
        value: &Value,
        f: &mut dyn FnMut(&str, &[&str], &Value),
    ) -> usize {
        f(tool, path, value);
        let mut seen = 1;
        for sub in list(value, "subcommands") {
            let name = sub["name"].as_str().expect("a name");
            seen += go(tool, &[path, &[name]].concat(), sub, f);
        }
        seen
    }
    TOOLS
        .iter()
        .map(|tool| go(tool, &[], &json(shell, tool, &[]), &mut f))
        .sum()
}

/// The options that a help text shows, long and short.
fn shown(help: &str) -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for line in help.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        // What is further in is text about it.
        if !text.starts_with('-') || !(2..=6).contains(&indent) {
            continue;
        }
        let words = text.split(' ').take_while(|word| word.starts_with('-'));
        options.extend(words.map(|word| {
            let word = word.trim_end_matches(',').trim_end_matches("...");
            word.split('=').next().unwrap_or(word).to_owned()
        }));
    }
    options
}

#[test]
fn every_option_and_command_of_every_help_is_in_it() {
    let shell = Shell::new();
    let commands = each_command(&shell, |tool, path, value| {
        let help = shell.run(tool, &[path, &["--help"]].concat(), b"");
        assert_eq!(help.status, 0, "{tool} {path:?}");
        let help = help.text();
        let mut found = BTreeSet::new();
        let mut places = BTreeSet::new();
        for argument in list(value, "arguments") {
            let texts = ["long", "short"].map(|field| argument[field].as_str());
            found.extend(texts.into_iter().flatten().map(str::to_owned));
            found.extend(self::texts(argument, "aliases"));
            places.extend(argument["index"].as_u64());
            let name = argument["name"].as_str().expect("a name");
            assert!(help.contains(name), "{tool} {path:?}: {name}");
        }
        assert_eq!(found, shown(&help), "{tool} {path:?}");
        assert!(found.contains("--help-json"), "{tool} {path:?}");
        assert!(
            places.iter().copied().eq(1..=places.len() as u64),
            "{tool} {path:?}: {places:?}"
        );
        let reported = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let reported = reported.split("\n\n").next().unwrap_or_default();
        let reported = reported
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let reported: BTreeSet<_> = reported
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .collect();
        let subs = list(value, "subcommands").iter();
        let subs: BTreeSet<_> = subs.filter_map(|sub| sub["name"].as_str()).collect();
        assert_eq!(reported, subs, "{tool} {path:?}");
        let command = [&[tool], path].concat().join(" ");
        assert_eq!(value["command"], command.as_str());
        assert!(!list(value, "examples").is_empty(), "{command}");
        assert!(
            value["usage"]
                .as_str()
                .expect("usage")
                .starts_with(&command),
            "{command}"
        );
    });
    assert!(commands > 30, "{commands}");
}

#[test]
fn behind_a_command_it_is_of_that_alone() {
    let shell = Shell::new();
    each_command(&shell, |tool, path, value| {
        assert_eq!(json(&shell, tool, path), *value, "{tool} {path:?}");
    });
}

#[test]
fn no_store_is_searched_for_and_nothing_is_made() {
    let shell = Shell::new();
    for tool in TOOLS {
        let mut command = shell.command(tool, &["--store", "/dev/null/x", "--help-json"]);
        command.env_remove("MQ_STORE").env_remove("HOME");
        let done = cli::run(command, b"");
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{tool}");
        json(&shell, tool, &[]);
    }
    assert!(!shell.store().exists());
    // The value of another option, or a name, asks for nothing.
    let done = shell.run("mq-consume", &["--grep", "--help-json", "t"], b"");
    assert_eq!(done.status, 1, "{}", done.err);
    let done = shell.run("mq-topics", &["--nope", "--help-json"], b"");
    assert_eq!((done.status, done.out.len()), (2, 0), "{}", done.err);
    let done = shell.run("mq-topics", &["--help", "--help-json"], b"");
    assert!(
        done.status == 0 && done.text().contains("Usage: "),
        "{}",
        done.text()
    );
}

#[test]
fn what_an_argument_takes_is_in_help() {
    let shell = Shell::new();
    let of = |tool: &str, path: &[&str], id: &str| {
        let value = json(&shell, tool, path);
        let mut all = list(&value, "arguments").iter();
        all.find(|a| a["id"] == id)
            .unwrap_or_else(|| panic!("{tool} {id}"))
            .clone()
    };
    for (tool, path, id, kind) in [
        ("mq-consume", &[][..], "count", "integer"),
        ("mq-consume", &[], "end", "boolean"),
        ("mq-consume", &[], "idle_timeout", "duration"),
        ("mq-consume", &[], "offset", "range"),
        ("mq-consume", &[], "key", "bytes"),
        ("mq-consume", &[], "grep", "regex"),
        ("mq-consume", &[], "format", "template"),
        ("mq-produce", &[], "batch_size", "size"),
        ("mq-produce", &[], "timestamp", "time"),
        ("mq-produce", &[], "topic", "topic"),
        ("mq-produce", &[], "files", "path"),
        ("mq-groups", &["wait"], "lag", "integer"),
        ("mq-groups", &["wait"], "timeout", "duration"),
        ("mq-groups", &["reset"], "to", "point"),
        ("mq-groups", &["skip"], "partition", "partition"),
        ("mq-broker", &["stop"], "id", "integer"),
        ("mq-broker", &["health"], "store", "path"),
    ] {
        assert_eq!(of(tool, path, id)["type"], kind, "{tool} {path:?} {id}");
    }
    let lag = of("mq-groups", &["wait"], "lag");
    assert_eq!(
        (&lag["default"], &lag["required"]),
        (&"0".into(), &false.into())
    );
    let group = of("mq-groups", &["wait"], "group");
    assert_eq!(
        (&group["index"], &group["required"]),
        (&1.into(), &true.into())
    );
    let topic = of("mq-groups", &["wait"], "topic");
    assert_eq!(
        (&topic["repeatable"], &topic["index"]),
        (&true.into(), &Value::Null)
    );
    let timeout = of("mq-broker", &["health"], "timeout");
    assert_eq!(
        (&timeout["default"], &timeout["default_text"]),
        (&"60s".into(), &"60s".into())
    );
    let store = of("mq-groups", &["wait"], "store");
    assert_eq!(
        (&store["env"], &store["global"]),
        (&"MQ_STORE".into(), &true.into())
    );
    assert_eq!(store["default"], Value::Null);
    for (tool, path, id, wanted) in [
        ("mq-topics", &["list"][..], "format", "table json tsv"),
        ("mq-produce", &[], "acks", "0 1 all"),
        (
            "mq-produce",
            &[],
            "compression",
            "none gzip snappy lz4 zstd",
        ),
        ("mq-produce", &[], "partitioner", "murmur2 crc32"),
        ("mq-produce", &[], "keyless", "round-robin sticky"),
        ("mq-consume", &[], "assignor", "uniform range"),
    ] {
        let argument = of(tool, path, id);
        let values = list(&argument, "possible_values").iter();
        let values: Vec<_> = values.filter_map(|v| v["value"].as_str()).collect();
        assert_eq!(values.join(" "), wanted, "{tool} {id}");
        // Each is taken, and the error for another one names all of them.
        let reported = wanted.replace(' ', ", ");
        let option = argument["long"].as_str().expect("an option");
        let run = |value: &str| {
            let mut words = path.to_vec();
            words.extend([option, value]);
            if tool != "mq-topics" {
                words.push("t");
            }
            if id == "assignor" {
                words.extend(["-g", "g"]);
            }
            let mut command = shell.command(tool, &words);
            command.env("MQ_STORE", "/dev/null/none");
            cli::run(command, b"")
        };
        for value in wanted.split(' ') {
            let done = run(value);
            assert_ne!(done.status, 2, "{tool} {option} {value}: {}", done.err);
        }
        let done = run("other");
        assert_eq!(done.status, 2, "{tool} {option}");
        let reported = format!("[possible values: {reported}]");
        assert!(done.err.contains(&reported), "{}", done.err);
    }
    assert_eq!(
        of("mq-topics", &["list"], "header")["possible_values"],
        Value::Null
    );
    // Each pair from both sides, and what a group of alternatives refuses.
    let conflicts = |id: &str| texts(&of("mq-groups", &["reset"], id), "conflicts");
    assert!(conflicts("export").contains(&"yes".to_owned()));
    assert!(conflicts("yes").contains(&"export".to_owned()));
    assert!(conflicts("to").contains(&"by".to_owned()));
    let reset = json(&shell, "mq-groups", &["reset"]);
    let due = &list(&reset, "groups")[0];
    assert_eq!(
        (&due["required"], &due["multiple"]),
        (&true.into(), &false.into())
    );
    assert!(texts(due, "arguments").contains(&"to_group".to_owned()));
}

#[test]
fn help_about_a_command_is_that_commands() {
    let shell = Shell::new();
    for (words, same) in [
        (&["help"][..], &[][..]),
        (&["help", "create"], &["create"]),
        (&["-q", "help", "create"], &["create"]),
        (&["--store", "help", "help", "create"], &["create"]),
        // A topic may have that name.
        (&["describe", "help"], &["describe"]),
    ] {
        let reported = json(&shell, "mq-topics", words);
        assert_eq!(reported, json(&shell, "mq-topics", same), "{words:?}");
    }
    let done = shell.run("mq-topics", &["help", "nope", "--help-json"], b"");
    assert_eq!((done.status, done.out.len()), (2, 0), "{}", done.err);
}

#[test]
fn what_an_argument_needs_is_in_help() {
    let shell = Shell::new();
    let of = |tool: &str, path: &[&str], id: &str, field: &str| {
        let value = json(&shell, tool, path);
        let mut all = list(&value, "arguments").iter();
        let argument = all.find(|a| a["id"] == id).expect(id);
        texts(argument, field)
    };
    let requires = |tool, path: &[&str], id| of(tool, path, id, "requires");
    assert_eq!(requires("mq-consume", &[], "batch"), ["group", "exec"]);
    assert_eq!(requires("mq-consume", &[], "end"), [""; 0]);
    assert_eq!(requires("mq-topics", &["list"], "header"), ["format"]);
    let reassign = &["reassign"][..];
    assert_eq!(requires("mq-broker", reassign, "dry_run"), ["partitions"]);
    assert_eq!(requires("mq-broker", reassign, "timeout"), ["wait"]);
    assert_eq!(
        of("mq-consume", &[], "invert_match", "requires_one_of"),
        ["key", "key_regex", "headers", "grep"]
    );
    // What follows: it needs --wait, and that cannot be beside a plan.
    let timeout = of("mq-broker", reassign, "timeout", "conflicts");
    assert!(timeout.contains(&"dry_run".to_owned()), "{timeout:?}");
    // What it may choose from is refused beside --whole.
    let keep = of("mq-produce", &[], "keep_partition", "conflicts");
    assert!(keep.contains(&"whole".to_owned()), "{keep:?}");
    let each = of("mq-produce", &[], "each_topic", "conflicts");
    assert!(each.contains(&"topic".to_owned()), "{each:?}");
}

/// Every field by its path, with what it holds.
fn fields(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                // A command below is a command.
                let path = format!("{path}.{name}");
                if !found.contains(&path) {
                    found.push(path.clone());
                }
                if name != "subcommands" {
                    fields(value, &path, found);
                }
            }
        }
        Value::Array(all) => {
            for value in all {
                fields(value, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn its_fields_are_those_that_were_promised() {
    let shell = Shell::new();
    let mut found = Vec::new();
    let mut kinds = BTreeSet::new();
    let mut orders = BTreeSet::new();
    each_command(&shell, |_, _, value| {
        let keys = |value: &Value| -> Vec<String> {
            value
                .as_object()
                .map(|map| map.keys().cloned().collect())
                .unwrap_or_default()
        };
        orders.insert(keys(value));
        for argument in list(value, "arguments") {
            orders.insert(keys(argument));
            kinds.insert(argument["type"].as_str().expect("a type").to_owned());
        }
        fields(value, "", &mut found);
    });
    assert_eq!(orders.len(), 2, "never absent, always in this order");
    found.sort();
    let mut text = found.join("\n") + "\n";
    for order in orders {
        text.push_str(&format!("{}\n", order.join(" ")));
    }
    text.push_str(&format!(
        "{}\n",
        kinds.into_iter().collect::<Vec<_>>().join(" ")
    ));
    assert_eq!(snapshot::differs("help_json", "fields", &text), None);
    let manual = include_str!("../../../man/mq.7");
    for path in found {
        let name = path.rsplit('.').next().expect("a name");
        assert!(manual.contains(name), "mq(7) does not tell of {name}");
    }
}
