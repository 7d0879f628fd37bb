//! Brokers that run, and what the tools say of them.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{eventually, start, stop};
use crate::cli::{Running, Shell};
use crate::tally::Tally;

/// Brokers that run, each on a rack of its own: `rack-1`, `rack-2` and so on.
pub(super) struct Brokers {
    pub shell: Shell,
    pub running: BTreeMap<i32, Running>,
}

impl Brokers {
    pub fn of(n: i32) -> Self {
        let shell = Shell::new();
        let mut brokers = Brokers {
            shell,
            running: BTreeMap::new(),
        };
        (1..=n).for_each(|id| brokers.start(id));
        brokers
    }

    pub fn start(&mut self, id: i32) {
        self.start_with(id, &[]);
    }

    pub fn start_with(&mut self, id: i32, more: &[&str]) {
        let (name, rack) = (id.to_string(), format!("rack-{id}"));
        let args = [&["--id", &name, "--rack", &rack], more].concat();
        let running = start(&self.shell, &args);
        self.running.insert(id, running);
    }

    pub fn kill(&mut self, id: i32) {
        let running = self.running.remove(&id).expect("it runs");
        running.signal(Signal::KILL);
        running.end();
    }

    pub fn stop(&mut self, id: i32) {
        let running = self.running.remove(&id).expect("it runs");
        stop(&self.shell, &id.to_string(), running);
    }

    pub fn healthy(&self) {
        let args = ["health", "--wait", "--timeout", "60s"];
        let done = self.shell.run("mq-broker", &args, b"");
        assert_eq!(done.status, 0, "{}{}", done.text(), done.err);
    }

    /// A partition as `mq-topics describe` shows it.
    pub fn partition(&self, topic: &str, partition: usize) -> Value {
        let args = ["describe", "--format", "json", topic];
        let out = self.shell.ok("mq-topics", &args, b"");
        let topic: Value = serde_json::from_slice(&out).expect("JSON");
        topic["partitions"][partition].clone()
    }

    pub fn until(&self, topic: &str, partition: usize, field: &str, value: Value) {
        eventually(&format!("{topic}:{partition} {field} {value}"), || {
            self.partition(topic, partition)[field] == value
        });
        Tally::case();
    }

    pub fn replica(&self, topic: &str, partition: i32, broker: i32) -> std::path::PathBuf {
        let path = format!("brokers/{broker}/logs/{topic}-{partition}");
        self.shell.store().join(path)
    }

    /// Status, output and errors of `mq-broker`.
    pub fn tool(&self, args: &[&str]) -> (i32, String, String) {
        Tally::case();
        let done = self.shell.run("mq-broker", args, b"");
        (done.status, done.text(), done.err)
    }

    pub fn reassignments(&self) -> Vec<Value> {
        lines(&self.tool(&["reassign", "--format", "json"]).1)
    }

    /// The kinds of what is amiss, with what each is about.
    pub fn amiss(&self) -> Vec<(String, Value)> {
        let (status, out, err) = self.tool(&["health", "--format", "json"]);
        let found: Vec<_> = lines(&out)
            .iter()
            .map(|line| {
                let reason = line["reason"].as_str().expect("a reason").to_owned();
                let partition = format!("{}:{}", line["topic"], line["partition"]);
                let about = if reason.starts_with("broker") {
                    line["broker"].clone()
                } else {
                    json!(partition.replace('"', ""))
                };
                (reason, about)
            })
            .collect();
        assert_eq!(status, i32::from(!found.is_empty()), "{out}{err}");
        found
    }
}

pub(super) fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

pub(super) fn numbers(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

pub(super) fn sorted(text: &str) -> Vec<usize> {
    let mut all: Vec<usize> = text.lines().map(|l| l.parse().expect("a number")).collect();
    all.sort_unstable();
    all
}
