//! What the group's files say, read as anybody can.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// `TOPIC PARTITION`.
pub type Tp = (String, i64);

/// `group.json`, as of one look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    pub group_epoch: i64,
    pub assignment_epoch: i64,
    pub members: BTreeMap<String, Member>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member {
    pub epoch: i64,
    /// Its process, as the file says; a recorder counts them instead.
    pub pid: u32,
    pub owned: BTreeSet<Tp>,
    pub target: BTreeSet<Tp>,
}

/// A line of `offsets.log` that commits.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// That of the group's lock.
    pub n: u64,
    pub member: String,
    /// The member's.
    pub epoch: i64,
    pub offsets: BTreeMap<Tp, i64>,
}

pub struct GroupDir(PathBuf);

impl GroupDir {
    pub fn of(store: &Path, group: &str) -> Self {
        GroupDir(store.join("groups").join(group))
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// `None` before it is there.
    pub fn view(&self) -> Option<View> {
        let text = std::fs::read_to_string(self.path("group.json")).ok()?;
        Some(View::of(&text))
    }

    /// The last committed offset of each partition.
    pub fn committed(&self) -> BTreeMap<Tp, i64> {
        let text = std::fs::read_to_string(self.path("offsets.log")).expect("offsets.log");
        let mut last = BTreeMap::new();
        for commit in text.lines().filter_map(Commit::of) {
            last.extend(commit.offsets);
        }
        last
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "epoch {} of {}:",
            self.assignment_epoch, self.group_epoch
        )?;
        for (id, member) in &self.members {
            let (owned, target) = (member.owned.len(), member.target.len());
            write!(
                f,
                " {}={} in {}",
                member.pid,
                &id[..id.len().min(4)],
                member.epoch
            )?;
            write!(f, " has {owned} of {target};")?;
        }
        Ok(())
    }
}

impl Commit {
    /// A line, whole; `None` if it does not commit.
    pub fn of(line: &str) -> Option<Commit> {
        let fields: Vec<&str> = line.split(' ').collect();
        if fields.get(2) != Some(&"commit") {
            return None;
        }
        let entries = &fields[5..fields.len() - 1];
        let offsets = entries.chunks(5).map(|entry| {
            let tp = (entry[0].to_owned(), entry[2].parse().expect("a partition"));
            (tp, entry[3].parse().expect("an offset"))
        });
        Some(Commit {
            n: fields[0].parse().expect("N"),
            member: fields[3].to_owned(),
            epoch: fields[4].parse().expect("an epoch"),
            offsets: offsets.collect(),
        })
    }
}

impl View {
    /// What the text of a `group.json` says.
    pub fn of(text: &str) -> View {
        let file: Value = serde_json::from_str(text).expect("group.json is whole at any time");
        let number = |value: &Value| value.as_i64().expect("a number");
        let members = file["members"].as_array().expect("members");
        let members = members.iter().map(|member| {
            let id = member["member_id"].as_str().expect("an id").to_owned();
            let read = Member {
                epoch: number(&member["member_epoch"]),
                pid: u32::try_from(number(&member["pid"])).expect("a pid"),
                owned: partitions(&member["assignment"]),
                // Left out where it is what is owned.
                target: match &member["target"] {
                    Value::Null => partitions(&member["assignment"]),
                    target => partitions(target),
                },
            };
            (id, read)
        });
        View {
            group_epoch: number(&file["group_epoch"]),
            assignment_epoch: number(&file["assignment_epoch"]),
            members: members.collect(),
        }
    }

    pub fn is_stable(&self) -> bool {
        self.group_epoch == self.assignment_epoch
            && self
                .members
                .values()
                .all(|m| m.epoch == self.assignment_epoch && m.owned == m.target)
    }

    /// Whether exactly these processes share so many partitions, evenly.
    pub fn is_shared_by(&self, pids: &BTreeSet<u32>, partitions: usize) -> bool {
        let here: BTreeSet<u32> = self.members.values().map(|m| m.pid).collect();
        let total: usize = self.members.values().map(|m| m.owned.len()).sum();
        let counts = || self.members.values().map(|m| m.owned.len());
        here == *pids
            && here.len() == self.members.len()
            && self.is_stable()
            && (pids.is_empty() || total == partitions)
            && counts().max().unwrap_or(0) - counts().min().unwrap_or(0) <= 1
    }
}

fn partitions(lists: &Value) -> BTreeSet<Tp> {
    let mut set = BTreeSet::new();
    for (topic, list) in lists.as_object().expect("lists") {
        for range in list.as_str().expect("a list").split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (i64, i64) = (first.parse().expect("n"), last.parse().expect("n"));
            set.extend((first..=last).map(|partition| (topic.clone(), partition)));
        }
    }
    set
}
