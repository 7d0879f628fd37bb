//! `group.json`: epoch, settings and members of a group.
//!
//! Replaced whole under the group's lock. It is synced only when settings change: members die with
//! the boot, so those in another boot's file are former ones.
//!
//! [`GroupFile`] is the written form, [`GroupState`] its meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::assignor::Assignor;
use super::state::{GroupState, MemberState, TopicState};
use super::subscription::{Naming, Subscription};
use crate::disk::{Dir, File};
use crate::error::{Error, Kind, Result};
use crate::store::{json_file, layout};
use crate::types::{Offset, PartitionId, TopicName, TopicPartition, Uuid};

/// The default assignor, as Kafka's.
const DEFAULT_ASSIGNOR: Assignor = Assignor::Uniform;
const VERSION: u32 = 1;

/// The content of `group.json`. Fields may be added later; unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFile {
    version: u32,
    /// The boot in which the members run, in hexadecimal digits.
    boot_id: String,
    /// Raised by each change of members, subscriptions or topics.
    pub group_epoch: i32,
    /// The group epoch that the targets were made for.
    #[serde(default)]
    pub assignment_epoch: i32,
    /// How partitions are assigned.
    pub assignor: String,
    /// The topics to read.
    #[serde(default)]
    pub topics: Vec<GroupTopic>,
    /// How many members have not reached their targets yet.
    #[serde(default)]
    pub reconciling: usize,
    /// How long after the newest line offsets are kept; Kafka's name, in minutes.
    #[serde(
        default,
        rename = "offsets.retention.minutes",
        skip_serializing_if = "Option::is_none"
    )]
    pub offsets_retention_minutes: Option<u32>,
    /// The subscriptions of the last members, while there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Subscription>,
    /// The members.
    pub members: Vec<Member>,
}

/// A topic that members subscribed to, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTopic {
    topic: String,
    topic_id: Uuid,
    partitions: PartitionId,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    came_later: bool,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id: never used twice.
    pub member_id: Uuid,
    /// The name that a static member keeps.
    pub instance_id: Option<String>,
    /// The epoch in which it may commit.
    pub member_epoch: i32,
    /// Its process.
    pub pid: u32,
    /// That process's host.
    pub host: String,
    /// What it subscribed to: names or patterns.
    pub topics: Vec<String>,
    /// Whether names or patterns.
    #[serde(default)]
    naming: Naming,
    /// The existing topics that match; left out: all that the group has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matching: Option<Vec<String>>,
    /// The partitions it owns.
    #[serde(with = "partition_lists")]
    pub assignment: Vec<TopicPartitions>,
    /// Its target partitions; left out: those that it owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<PartitionLists>,
    /// The ends where it stops reading, by topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<BTreeMap<String, Vec<Offset>>>,
    /// How long its heartbeat may not move, milliseconds.
    #[serde(default = "default_session_timeout_ms")]
    session_timeout_ms: u64,
}

/// Lists of partitions, in their written form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PartitionLists(#[serde(with = "partition_lists")] Vec<TopicPartitions>);

fn default_session_timeout_ms() -> u64 {
    45_000
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: String,
    /// The partitions, ascending.
    pub partitions: Vec<PartitionId>,
}

impl GroupFile {
    /// A group without members.
    pub fn new(boot_id: [u8; 16], group_epoch: i32) -> Self {
        GroupFile::of_state(boot_id, &GroupState::new(group_epoch, DEFAULT_ASSIGNOR))
    }

    /// The written form of a state.
    pub fn of_state(boot_id: [u8; 16], state: &GroupState) -> Self {
        let topics = state.topics.iter().map(|(name, topic)| GroupTopic {
            topic: name.to_string(),
            topic_id: topic.topic_id,
            partitions: topic.partitions,
            came_later: topic.came_later,
        });
        GroupFile {
            version: VERSION,
            boot_id: hex(boot_id),
            group_epoch: state.group_epoch,
            assignment_epoch: state.assignment_epoch,
            assignor: state.assignor.as_str().to_owned(),
            topics: topics.collect(),
            reconciling: state.reconciling(),
            offsets_retention_minutes: state.offsets_retention_minutes,
            former: state.former.clone(),
            members: state
                .members
                .iter()
                .map(|(id, member)| Member::of_state(*id, member, state))
                .collect(),
        }
    }

    /// Whether no config was set.
    pub fn sets_nothing(&self) -> bool {
        self.offsets_retention_minutes.is_none()
    }

    /// How long after the newest line offsets are kept, minutes: at least 1.
    pub fn retention_minutes(&self) -> u32 {
        self.offsets_retention_minutes
            .map_or(super::group_file::RETENTION_MINUTES_DEFAULT, |kept| {
                kept.max(1)
            })
    }

    /// Reads the file of the group in `dir`. Members of another boot are left out.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is unreadable or missing; [`Kind::UnusableStore`] for a newer
    /// format.
    pub fn read(dir: &Arc<dyn Dir>, boot_id: [u8; 16]) -> Result<Self> {
        Ok(GroupFile::read_open(dir, boot_id)?.0)
    }

    /// As [`GroupFile::read`], with the open file: it is current while its path names it.
    pub fn read_open(dir: &Arc<dyn Dir>, boot_id: [u8; 16]) -> Result<(Self, Arc<dyn File>)> {
        let (object, open) = read_object(dir)?;
        Ok((GroupFile::decode(dir, &object, boot_id)?, open))
    }

    /// The same without the other members, if `id` is a member: what a member needs to know at each
    /// change. In a group of a hundred it takes a tenth of the time.
    pub fn read_own(
        dir: &Arc<dyn Dir>,
        boot_id: [u8; 16],
        id: Uuid,
    ) -> Result<(Self, Arc<dyn File>)> {
        let (object, open) = read_object(dir)?;
        let own = without_others(&object, id);
        let object = own.as_deref().unwrap_or(&object);
        Ok((GroupFile::decode(dir, object, boot_id)?, open))
    }

    fn decode(dir: &Arc<dyn Dir>, object: &[u8], boot_id: [u8; 16]) -> Result<Self> {
        let place = dir.path().join(layout::GROUP_FILE);
        let mut file: GroupFile = serde_json::from_slice(object).map_err(|e| {
            Error::new(
                Kind::Damaged,
                format!("{} is damaged: {e}", place.display()),
            )
        })?;
        if file.version != VERSION {
            return Err(Error::new(
                Kind::UnusableStore,
                format!(
                    "{} has version {}, this mq knows {VERSION}",
                    place.display(),
                    file.version
                ),
            )
            .cure("use the newer mq that wrote it"));
        }
        let boot_id = hex(boot_id);
        if file.boot_id != boot_id {
            file.boot_id = boot_id;
            for member in std::mem::take(&mut file.members) {
                let subscription = member.subscription();
                if !file.former.contains(&subscription) {
                    file.former.push(subscription);
                }
            }
            file.reconciling = 0;
            file.assignment_epoch = file.group_epoch;
        }
        Ok(file)
    }

    /// Its meaning.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for content that mq never writes, although the checksum holds.
    pub fn state(&self, dir: &dyn Dir) -> Result<GroupState> {
        let damaged = |what: &str| {
            let place = dir.path().join(layout::GROUP_FILE);
            Error::new(Kind::Damaged, format!("{}: {what}", place.display()))
        };
        let name = |text: &String| {
            TopicName::new(text.as_str()).map_err(|_| damaged("a topic has no topic's name"))
        };
        let assignor =
            Assignor::parse(&self.assignor).ok_or_else(|| damaged("its assignor is unknown"))?;
        let mut state = GroupState::new(self.group_epoch, assignor);
        state.assignment_epoch = self.assignment_epoch;
        state.offsets_retention_minutes = self.offsets_retention_minutes;
        state.former.clone_from(&self.former);
        for topic in &self.topics {
            let seen = TopicState {
                topic_id: topic.topic_id,
                partitions: topic.partitions,
                came_later: topic.came_later,
            };
            state.topics.insert(name(&topic.topic)?, seen);
        }
        let partitions = |list: &[TopicPartitions]| -> Result<BTreeSet<TopicPartition>> {
            let mut set = BTreeSet::new();
            for of_topic in list {
                let topic = name(&of_topic.topic)?;
                set.extend(
                    of_topic
                        .partitions
                        .iter()
                        .map(|partition| TopicPartition::new(topic.clone(), *partition)),
                );
            }
            Ok(set)
        };
        let mut owned_by_any = BTreeSet::new();
        for member in &self.members {
            let ends = match &member.ends {
                None => None,
                Some(ends) => Some(
                    ends.iter()
                        .map(|(topic, ends)| Ok((name(topic)?, ends.clone())))
                        .collect::<Result<_>>()?,
                ),
            };
            let owned = partitions(&member.assignment)?;
            if owned.iter().any(|tp| !owned_by_any.insert(tp.clone())) {
                return Err(damaged("two members own one partition"));
            }
            let decoded = MemberState {
                epoch: member.member_epoch,
                instance_id: member.instance_id.clone(),
                subscription: member.subscription(),
                topics: match &member.matching {
                    None => state.topics.keys().cloned().collect(),
                    Some(names) => names.iter().map(name).collect::<Result<_>>()?,
                },
                target: match &member.target {
                    None => owned.clone(),
                    Some(target) => partitions(&target.0)?,
                },
                owned,
                ends,
                session_timeout_ms: member.session_timeout_ms,
                pid: member.pid,
                host: member.host.clone(),
            };
            state.members.insert(member.member_id, decoded);
        }
        Ok(state)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        json_file::encode(self)
    }
}

impl Member {
    fn subscription(&self) -> Subscription {
        Subscription {
            naming: self.naming,
            topics: self.topics.clone(),
        }
    }

    fn of_state(id: Uuid, member: &MemberState, state: &GroupState) -> Self {
        let ends = member.ends.as_ref().map(|ends| {
            ends.iter()
                .map(|(topic, ends)| (topic.to_string(), ends.clone()))
                .collect()
        });
        Member {
            member_id: id,
            instance_id: member.instance_id.clone(),
            member_epoch: member.epoch,
            pid: member.pid,
            host: member.host.clone(),
            topics: member.subscription.topics.clone(),
            naming: member.subscription.naming,
            matching: (!member.topics.iter().eq(state.topics.keys()))
                .then(|| member.topics.iter().map(ToString::to_string).collect()),
            assignment: by_topic(&member.owned),
            target: (member.target != member.owned)
                .then(|| PartitionLists(by_topic(&member.target))),
            ends,
            session_timeout_ms: member.session_timeout_ms,
        }
    }
}

/// Partitions, gathered by topic, ascending.
fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<TopicPartitions> {
    let mut topics: Vec<TopicPartitions> = Vec::new();
    for tp in partitions {
        match topics.last_mut() {
            Some(last) if last.topic == tp.topic.as_str() => last.partitions.push(tp.partition),
            _ => topics.push(TopicPartitions {
                topic: tp.topic.to_string(),
                partitions: vec![tp.partition],
            }),
        }
    }
    topics
}

/// The file's object, after its checksum is verified, and the open file.
fn read_object(dir: &Arc<dyn Dir>) -> Result<(Vec<u8>, Arc<dyn File>)> {
    match json_file::read_bytes(&**dir, layout::GROUP_FILE) {
        Ok((bytes, open)) => {
            let place = dir.path().join(layout::GROUP_FILE);
            Ok((json_file::object(&bytes, place.display())?, open))
        }
        Err(e) if json_file::is_missing(&e) => {
            Err(e.with_kind(Kind::Damaged).cure("restore it from a backup"))
        }
        Err(e) => Err(e),
    }
}

/// The object with that member alone, cut out by the layout that [`GroupFile::encode`] gives it;
/// `None` if the member is not found there.
fn without_others(object: &[u8], id: Uuid) -> Option<Vec<u8>> {
    const MEMBERS: &[u8] = b"\n  \"members\": [";
    const ENTRY: &[u8] = b"\n    {\n      \"member_id\": \"";
    const ENTRY_END: &[u8] = b"\n    }";
    let members = memchr::memmem::find(object, MEMBERS)? + MEMBERS.len();
    let (head, entries) = object.split_at_checked(members)?;
    let wanted = [ENTRY, id.to_string().as_bytes(), b"\""].concat();
    let entry = entries.get(memchr::memmem::find(entries, &wanted)?..)?;
    let end = memchr::memmem::find(entry, ENTRY_END)? + ENTRY_END.len();
    Some([head, entry.get(..end)?, b"\n  ]\n}"].concat())
}

fn hex(bytes: [u8; 16]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Lists of partitions as texts, such as `{"orders": "0-3,7"}`: every member reads the file at each
/// change, so it is kept short.
mod partition_lists {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::group::group_file::TopicPartitions;
    use crate::types::{PARTITIONS_MAX, PartitionId};

    pub fn serialize<S: Serializer>(
        lists: &[TopicPartitions],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: BTreeMap<&str, String> = lists
            .iter()
            .map(|list| (list.topic.as_str(), to_text(&list.partitions)))
            .collect();
        texts.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<TopicPartitions>, D::Error> {
        BTreeMap::<String, String>::deserialize(deserializer)?
            .into_iter()
            .map(|(topic, text)| {
                let partitions = parse(&text)
                    .ok_or_else(|| D::Error::custom(format!("'{text}' lists no partitions")))?;
                Ok(TopicPartitions { topic, partitions })
            })
            .collect()
    }

    fn to_text(partitions: &[PartitionId]) -> String {
        let mut text = String::new();
        let mut rest = partitions.iter().copied().peekable();
        while let Some(first) = rest.next() {
            let mut last = first;
            while rest.peek() == Some(&(last + 1)) {
                last += 1;
                rest.next();
            }
            let comma = if text.is_empty() { "" } else { "," };
            let _ = if first == last {
                write!(text, "{comma}{first}")
            } else {
                write!(text, "{comma}{first}-{last}")
            };
        }
        text
    }

    /// Ascending, each once, below the maximum of a topic.
    fn parse(text: &str) -> Option<Vec<PartitionId>> {
        let mut partitions = Vec::new();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let first: PartitionId = first.parse().ok()?;
            let last: PartitionId = last.parse().ok()?;
            let next = partitions.last().map_or(0, |last: &PartitionId| last + 1);
            if first < next || last < first || last >= PARTITIONS_MAX {
                return None;
            }
            partitions.extend(first..=last);
        }
        Some(partitions)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn lists_come_back() {
            for list in [
                vec![0],
                vec![0, 1, 2],
                vec![3, 5, 6, 7, 9],
                vec![PARTITIONS_MAX - 1],
            ] {
                assert_eq!(parse(&to_text(&list)), Some(list));
            }
            for bad in ["", "x", "1-", "-1", "2-1", "1,1", "3,2", "0-99999", "0-3,3"] {
                assert_eq!(parse(bad), None, "{bad}");
            }
        }
    }
}

/// The default of `offsets.retention.minutes`, as Kafka's: 7 days.
pub const RETENTION_MINUTES_DEFAULT: u32 = 7 * 24 * 60;

/// What a file sets explicitly.
pub(crate) fn explicit(file: &GroupFile) -> BTreeMap<String, String> {
    let minutes = file.offsets_retention_minutes;
    let pair = minutes.map(|minutes| (RETENTION.to_owned(), minutes.to_string()));
    pair.into_iter().collect()
}

/// How long after the newest line offsets are kept, minutes; Kafka's name.
pub(crate) const RETENTION: &str = "offsets.retention.minutes";

#[cfg(test)]
mod tests;
