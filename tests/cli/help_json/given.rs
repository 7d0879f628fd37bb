//! What `--help-json` says of defaults, needs and conflicts is what the tools do: lines are made from it
//! and run.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{each_command, list, texts};
use crate::cli::{Done, Shell, run};

/// A command, as `--help-json` tells of it.
struct Described<'a> {
    tool: &'a str,
    path: &'a [&'a str],
    value: &'a Value,
}

impl Described<'_> {
    /// Those that do not end a run by themselves.
    fn ids(&self) -> Vec<&str> {
        let all = list(self.value, "arguments").iter();
        let ids = all.filter_map(|argument| argument["id"].as_str());
        ids.filter(|id| !["help", "version", "help_json"].contains(id))
            .collect()
    }

    fn has(&self, id: &str) -> bool {
        self.ids().contains(&id)
    }

    fn argument(&self, id: &str) -> &Value {
        let mut all = list(self.value, "arguments").iter();
        all.find(|argument| argument["id"] == id)
            .expect("described")
    }

    fn conflict(&self, a: &str, b: &str) -> bool {
        texts(self.argument(a), "conflicts").contains(&b.to_owned())
    }

    /// With those, all that is due beside them but for `without`.
    fn whole(&self, wanted: &[&str], without: &[String]) -> BTreeSet<String> {
        let mut ids: BTreeSet<String> = wanted.iter().map(|id| (*id).to_owned()).collect();
        loop {
            let mut due: Vec<String> = Vec::new();
            let mut one_of = |choice: Vec<String>| {
                let fits = |id: &&String| !ids.iter().any(|other| self.conflict(id, other));
                if !choice.iter().any(|id| ids.contains(id)) {
                    due.extend(choice.iter().find(fits).or(choice.first()).cloned());
                }
            };
            for id in &ids {
                one_of(texts(self.argument(id), "requires_one_of"));
            }
            for group in list(self.value, "groups") {
                if group["required"] == true {
                    one_of(texts(group, "arguments"));
                }
            }
            due.extend(
                ids.iter()
                    .flat_map(|id| texts(self.argument(id), "requires")),
            );
            let required = self.ids().into_iter();
            let required = required.filter(|id| self.argument(id)["required"] == true);
            due.extend(required.map(str::to_owned));
            // What depends on other things: on where the topic is named, and on somebody to ask.
            let has = |id: &str| ids.contains(id);
            if self.tool == "mq-produce" && !has("each_topic") {
                due.push("topic".to_owned());
            }
            // An unclean election is of partitions.
            if self.path == ["elect"] {
                due.push("partitions".to_owned());
            }
            let asks = self.has("yes") && (!self.has("repair") || has("repair"));
            if asks && !["yes", "dry_run", "export"].iter().any(|id| has(id)) {
                due.push("yes".to_owned());
            }
            due.retain(|id| !ids.contains(id) && !without.contains(id));
            if due.is_empty() {
                return ids;
            }
            ids.extend(due);
        }
    }

    /// The words of a line with these; `values` stand in for the usual ones.
    fn line(&self, ids: &BTreeSet<String>, values: &[(&str, &str)]) -> Vec<String> {
        let mut line: Vec<String> = self.path.iter().map(|word| (*word).to_owned()).collect();
        let mut by_place = Vec::new();
        for id in ids {
            let argument = self.argument(id);
            let given = values.iter().find(|(of, _)| of == id);
            let value = given.map_or_else(|| self.some_value(id, ids), |(_, v)| (*v).to_owned());
            if let Some(place) = argument["index"].as_u64() {
                by_place.push((place, value));
                continue;
            }
            line.push(argument["name"].as_str().expect("a name").to_owned());
            if argument["type"] != "boolean" {
                line.push(value);
            }
        }
        by_place.sort();
        line.extend(by_place.into_iter().map(|(_, value)| value));
        line
    }

    /// One that is taken wherever the argument is.
    fn some_value(&self, id: &str, beside: &BTreeSet<String>) -> String {
        let argument = self.argument(id);
        let own = match (self.tool, id) {
            ("mq-produce", "format") => "json",
            ("mq-produce", "headers") => "n=v",
            ("mq-broker", "kind") => "unclean",
            ("mq-broker", "partitions") if self.path == ["elect"] => "t:0",
            ("mq-broker", "partitions") if beside.contains("cancel") => "t:0",
            ("mq-broker", "partitions") => "t:0=1",
            ("mq-topics", "configs") => "segment.bytes=1048576",
            ("mq-topics", "unset") => "segment.ms",
            ("mq-topics", "assign") => "0",
            ("mq-groups", "configs") => "offsets.retention.minutes=60",
            ("mq-groups", "unset") => "offsets.retention.minutes",
            ("mq-groups", "offsets") => "t:0=1",
            ("mq-groups", "to_group") => "h",
            ("mq-groups", "to") if self.path == ["clone"] => "h",
            ("mq-consume", "group") => "h",
            ("mq-consume", "dead_letter") => "failed",
            ("mq-consume", "exec") => "true",
            // A header is of tsv alone.
            (_, "format") if !argument["possible_values"].is_null() => "tsv",
            _ => "",
        };
        if !own.is_empty() {
            return own.to_owned();
        }
        if let Some(values) = argument["possible_values"].as_array() {
            return values[0]["value"].as_str().expect("a value").to_owned();
        }
        match argument["type"].as_str().expect("a type") {
            "duration" => "1s",
            "size" => "64KiB",
            "time" => "2026-01-01",
            "range" => "1:2",
            "template" => "%k %v\\n",
            "topic" => "t",
            "partition" => "t:0",
            "group" => "g",
            "path" => "/dev/null",
            "string" if argument["value_names"][0].as_str().is_some_and(is_topic) => "t",
            _ => "1",
        }
        .to_owned()
    }

    /// Whether a line is refused before any store is examined, and what is said.
    fn refused(&self, shell: &Shell, line: &[String]) -> (bool, String) {
        let done = self.run(shell, "/dev/null/none", line, b"");
        // A check has statuses of its own.
        let refused = match self.path {
            ["check"] => done.err.contains("Usage: "),
            _ => done.status == 2,
        };
        (refused, done.err)
    }

    fn run(&self, shell: &Shell, store: &str, line: &[String], input: &[u8]) -> Done {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let mut command = shell.command(self.tool, &line);
        command.env("MQ_STORE", store);
        run(command, input)
    }
}

fn is_topic(value_name: &str) -> bool {
    ["T[:P]|GLOB", "T[:P]", "NAME|GLOB"].contains(&value_name)
}

/// Calls `f` with each command of a tool that does something.
fn each(tool: &str, mut f: impl FnMut(&Shell, &Described)) {
    let shell = Shell::new();
    let mut seen = 0;
    each_command(&shell, |of, path, value| {
        if of == tool && list(value, "subcommands").is_empty() {
            let reported = Described { tool, path, value };
            f(&shell, &reported);
            seen += 1;
        }
    });
    assert!(seen > 0, "{tool}");
}

/// Each pair that is refused is described as a conflict, and each such pair is refused; so is an argument without
/// what it needs.
fn check_needs_and_conflicts(tool: &str) {
    let mut conflicts = 0;
    each(tool, |shell, reported| {
        let place = |line: &[String]| format!("{tool} {}", line.join(" "));
        for id in reported.ids() {
            let line = reported.line(&reported.whole(&[id], &[]), &[]);
            let (refused, said) = reported.refused(shell, &line);
            assert!(!refused, "{}: {said}", place(&line));
            let argument = reported.argument(id);
            let choice = texts(argument, "requires_one_of");
            let needed = texts(argument, "requires").into_iter().map(|one| vec![one]);
            for without in needed.chain((!choice.is_empty()).then_some(choice)) {
                let mut ids = reported.whole(&[id], &without);
                // What needs it in turn is no more there than it.
                ids.retain(|one| {
                    one == id || reported.argument(one)["required"] == true || {
                        let needs = texts(reported.argument(one), "requires");
                        !needs.iter().any(|need| without.contains(need))
                    }
                });
                let line = reported.line(&ids, &[]);
                let (refused, _) = reported.refused(shell, &line);
                assert!(refused, "{}: needs {without:?}", place(&line));
            }
        }
        let ids = reported.ids();
        for (at, a) in ids.iter().enumerate() {
            for b in &ids[at + 1..] {
                let is_reported = reported.conflict(a, b);
                assert_eq!(
                    is_reported,
                    reported.conflict(b, a),
                    "{tool} {:?} {a} {b}",
                    reported.path
                );
                // There is one config of groups: it is either set or taken back.
                let of_value = tool == "mq-groups" && (*a, *b) == ("configs", "unset");
                let line = reported.line(&reported.whole(&[a, b], &[]), &[]);
                let (refused, said) = reported.refused(shell, &line);
                let place = format!("{}: {a} and {b}: {said}", place(&line));
                assert_eq!(refused, is_reported || of_value, "{place}");
                conflicts += usize::from(is_reported);
            }
        }
    });
    assert!(conflicts > 0, "{tool}");
}

#[test]
fn produce_needs_and_refuses_what_help_says() {
    check_needs_and_conflicts("mq-produce");
}

#[test]
fn consume_needs_and_refuses_what_help_says() {
    check_needs_and_conflicts("mq-consume");
}

#[test]
fn topics_needs_and_refuses_what_help_says() {
    check_needs_and_conflicts("mq-topics");
}

#[test]
fn groups_needs_and_refuses_what_help_says() {
    check_needs_and_conflicts("mq-groups");
}

#[test]
fn broker_needs_and_refuses_what_help_says() {
    check_needs_and_conflicts("mq-broker");
}

/// A store with a topic and groups, for runs that may change it.
fn furnished() -> Shell {
    let shell = Shell::new();
    shell.topics(&["create", "t"]);
    shell.produce(&["-K", "=", "t"], b"a=1\nb=2\n");
    // One that has read all, for what waits, and one that has not.
    for (group, offset) in [("g", "t:0=2"), ("h", "t:0=1")] {
        shell.ok("mq-groups", &["commit", group, offset], b"");
    }
    shell
}

/// All that a run does to a copy of the store: how it ends, and the records that are there then.
fn effect(reported: &Described, shell: &Shell, line: &[String]) -> (i32, String, String, String) {
    let copy = shell.dir().join("copy");
    let _ = Command::new("rm").arg("-rf").arg(&copy).status();
    let mut cp = Command::new("cp");
    let copied = cp.arg("-a").arg(shell.store()).arg(&copy).status();
    assert!(copied.expect("cp").success());
    let copy = copy.to_str().expect("text");
    let done = reported.run(shell, copy, line, b"c=3\n\nd\n");
    let mut consume = shell.command("mq-consume", &["-e", "-f", "%t %p %o %k %v\\n", "*"]);
    consume.env("MQ_STORE", copy);
    let there = run(consume, b"").text();
    (done.status, done.text(), done.err, there)
}

#[test]
fn a_default_that_is_given_changes_nothing() {
    let store = furnished();
    let mut given = Vec::new();
    for tool in super::TOOLS {
        each(tool, |shell, reported| {
            for id in reported.ids() {
                let Some(default) = reported.argument(id)["default"].as_str() else {
                    continue;
                };
                let mut wanted = vec![id];
                if tool == "mq-consume" {
                    wanted.push("end");
                }
                let with = reported.whole(&wanted, &[]);
                let mut without = with.clone();
                without.remove(id);
                let line = reported.line(&with, &[(id, default)]);
                let (refused, said) = reported.refused(shell, &line);
                assert!(!refused, "{tool} {line:?}: {said}");
                given.push(format!(
                    "{} {id} {default}",
                    [&[tool], reported.path].concat().join(" ")
                ));
                // These end by a signal.
                if [&["start"][..], &["watch"]].contains(&reported.path) {
                    continue;
                }
                let absent = reported.line(&without, &[]);
                let both = || {
                    let absent = effect(reported, &store, &absent);
                    let mut given = effect(reported, &store, &line);
                    // A change prints what it did where a format was asked for.
                    if id == "format" && absent.1.is_empty() {
                        given.1.clear();
                    }
                    (given, absent)
                };
                // An age in seconds may grow between the two.
                let mut runs = (0..3).map(|_| both());
                let same = runs.find(|(given, absent)| given == absent);
                let (given, absent) = same.unwrap_or_else(both);
                assert_eq!(given, absent, "{tool} {line:?}");
            }
        });
    }
    // Those that clap fills in, and those that the tools do.
    for one in [
        "mq-produce acks all",
        "mq-produce delimiter \\n",
        "mq-produce files -",
        "mq-produce linger 0ms",
        "mq-produce create_partitions 1",
        "mq-consume commit_interval 1s",
        "mq-consume session_timeout 45s",
        "mq-consume batch 1",
        "mq-consume retries 0",
        "mq-topics list format table",
        "mq-broker start id 0",
        "mq-broker health timeout 60s",
    ] {
        assert!(given.contains(&one.to_owned()), "{one}: {given:?}");
    }
}

#[test]
fn what_depends_has_no_default() {
    let shell = Shell::new();
    let mut texts = BTreeSet::new();
    each_command(&shell, |_, _, value| {
        for argument in list(value, "arguments") {
            if let (None, Some(text)) = (
                argument["default"].as_str(),
                argument["default_text"].as_str(),
            ) {
                texts.insert(text.to_owned());
            }
        }
    });
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    assert_eq!(
        texts,
        [
            "$MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq",
            "all",
            "as --like, else 1",
            "no limit",
            "nothing",
            "now",
            "the group's",
            "the longest log",
            "the only one that runs",
        ]
    );
}
