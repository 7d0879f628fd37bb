//! Every path and file name of a store is made and parsed here and nowhere else, except for names
//! within a replica directory: they are Kafka's, and `log` has them.
//!
//! ```text
//! STORE/store.json  lock.N/N  lock.N/spare/  controller.lock  controller.json
//!       topics/NAME.json  topics/NAME.HEX.damaged  deleted/ID.json  reports/TOPIC-N
//!       brokers/ID/broker.json  broker.lock  logs/meta.properties  logs/TOPIC-N/
//!                  logs/TOPIC-N.HEX-delete  logs/TOPIC-N.HEX-stray  logs/TOPIC-N.HEX-future
//!       makers/HEX
//!       groups/GROUP/lock.N/N  group.json  members/ID  commands/ID  offsets.log
//!                    offsets.INODE.sync
//! ```
//!
//! Paths are relative to the store, names of a group's files to the group's directory. A parser
//! accepts only what its maker makes, so no two names mean the same thing.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, PARTITIONS_MAX, TopicName, TopicPartition, Uuid};

/// Format version and cluster id of the store.
pub const STORE_FILE: &str = "store.json";
/// The directory of the topic files.
pub const TOPICS_DIR: &str = "topics";
/// The directory of deletion proofs.
pub const DELETED_DIR: &str = "deleted";
/// The directory of the brokers' directories.
pub const BROKERS_DIR: &str = "brokers";
/// The directory of the groups' directories.
pub const GROUPS_DIR: &str = "groups";
/// The directory of the locks of processes that create replicas.
pub const MAKERS_DIR: &str = "makers";
/// The directory of failure reports to the controller: an empty file for each partition.
pub const REPORTS_DIR: &str = "reports";
/// The controller daemon's liveness lock.
pub const CONTROLLER_LOCK: &str = "controller.lock";
/// The controller's broker id, epoch and heartbeat.
pub const CONTROLLER_FILE: &str = "controller.json";
/// In a broker's directory: its registration.
pub const BROKER_FILE: &str = "broker.json";
/// In a broker's directory: its daemon's liveness lock.
pub const BROKER_LOCK: &str = "broker.lock";
/// In a broker's directory: its replicas, unless its registration names another place.
pub const LOGS_DIR: &str = "logs";
/// In a log directory: cluster, node and directory id, as Kafka's.
pub const META_PROPERTIES: &str = "meta.properties";
/// In a group's directory: its settings and members.
pub const GROUP_FILE: &str = "group.json";
/// In a group's directory: the committed offsets.
pub const OFFSETS_LOG: &str = "offsets.log";
/// In a group's directory: a file for each member.
pub const MEMBERS_DIR: &str = "members";
/// In a group's directory: the commands that its members run.
pub const COMMANDS_DIR: &str = "commands";
/// In `lock.N/`: an empty directory, for the next holder.
pub const SPARE_DIR: &str = "spare";

/// The directory that file systems keep at the top of a disk. It holds no user's data.
pub const LOST_FOUND: &str = "lost+found";

/// Longest name of a file, bytes: the limit of every file system in use.
pub const NAME_BYTES_MAX: usize = 255;

const JSON_SUFFIX: &str = ".json";
const DELETE_SUFFIX: &str = "-delete";
const FUTURE_SUFFIX: &str = "-future";
const STRAY_SUFFIX: &str = "-stray";
const OFFSETS_PREFIX: &str = "offsets.";
const SYNC_SUFFIX: &str = ".sync";
const LOCK_PREFIX: &str = "lock.";
const STAGED_PREFIX: &str = "staged.";
const PROOF_PREFIX: &str = "deleted.";
const STAGING_PREFIX: &str = ".mq-new-";

/// `NAME.json`, in the topics' directory.
pub fn topic_file(topic: &TopicName) -> String {
    format!("{topic}{JSON_SUFFIX}")
}

/// The topic whose file in the topics' directory has this name.
pub fn parse_topic_file(name: &str) -> Option<TopicName> {
    TopicName::new(name.strip_suffix(JSON_SUFFIX)?).ok()
}

/// `NAME.HEX.damaged`, in the topics' directory: where an unreadable topic file is kept; a name too
/// long for it is cut.
pub fn damaged_topic_file(topic: &TopicName, unique: &Uuid) -> String {
    let suffix = format!(".{}.damaged", unique.hex());
    let keep = NAME_BYTES_MAX.saturating_sub(suffix.len());
    let topic: String = topic.as_str().chars().take(keep).collect();
    format!("{topic}{suffix}")
}

/// `HEX.json`: the file of a deleted topic with this topic id.
pub fn deleted_file(topic_id: &Uuid) -> String {
    format!("{}{JSON_SUFFIX}", topic_id.hex())
}

/// The topic id in a name that [`deleted_file`] makes.
pub fn parse_deleted_file(name: &str) -> Option<Uuid> {
    parse_hex_id(name.strip_suffix(JSON_SUFFIX)?)
}

/// `makers/HEX`: locked by a process that creates replicas.
pub fn maker_file(maker: &Uuid) -> String {
    format!("{MAKERS_DIR}/{}", maker.hex())
}

/// The creator id in a file name below `makers`.
pub fn parse_maker_file(name: &str) -> Option<Uuid> {
    parse_hex_id(name)
}

/// `deleted.HEX`: the same file while it is in a lock holder's directory.
pub fn proof_file(topic_id: &Uuid) -> String {
    format!("{PROOF_PREFIX}{}", topic_id.hex())
}

/// The topic id in a name that [`proof_file`] makes.
pub fn parse_proof_file(name: &str) -> Option<Uuid> {
    parse_hex_id(name.strip_prefix(PROOF_PREFIX)?)
}

/// `brokers/ID`.
pub fn broker_dir(broker: BrokerId) -> String {
    format!("{BROKERS_DIR}/{broker}")
}

/// `brokers/ID/broker.json`.
pub fn broker_file(broker: BrokerId) -> String {
    format!("{}/{BROKER_FILE}", broker_dir(broker))
}

/// The broker whose directory has this name below `brokers`.
pub fn parse_broker_dir(name: &str) -> Option<BrokerId> {
    canonical::<BrokerId>(name).filter(|id| *id >= 0)
}

/// `TOPIC-N`: the directory of a replica within its log directory.
pub fn replica_dir(tp: &TopicPartition) -> String {
    format!("{}-{}", tp.topic, tp.partition)
}

/// The partition whose replica directory has this name: the number follows the last dash, as in
/// Kafka (`LocalLog.parseTopicPartitionName`).
pub fn parse_replica_dir(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition = canonical::<i32>(number).filter(|n| (0..PARTITIONS_MAX).contains(n))?;
    Some(TopicPartition::new(TopicName::new(topic).ok()?, partition))
}

/// `TOPIC-N.HEX-delete`: the name of a replica directory that was moved aside to be removed, as
/// Kafka's (`LocalLog.logDeleteDirName`); a topic's name too long for it is cut.
pub fn aside_dir(tp: &TopicPartition, unique: &Uuid) -> String {
    let suffix = format!("-{}.{}{DELETE_SUFFIX}", tp.partition, unique.hex());
    let keep = NAME_BYTES_MAX.saturating_sub(suffix.len());
    // A topic's name is ASCII: characters are bytes.
    let topic: String = tp.topic.as_str().chars().take(keep).collect();
    format!("{topic}{suffix}")
}

/// Whether the name is one that [`aside_dir`] makes.
pub fn is_aside_dir(name: &str) -> bool {
    name.strip_suffix(DELETE_SUFFIX)
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(replica, hex)| is_hex_id(hex) && parse_replica_dir(replica).is_some())
}

/// Whether a directory of this name may be a replica, or the only copy of one.
pub fn holds_replica(name: &str) -> bool {
    let aside = || {
        let (replica, end) = name.rsplit_once('.')?;
        let hex = end
            .strip_suffix(FUTURE_SUFFIX)
            .or_else(|| end.strip_suffix(STRAY_SUFFIX))?;
        Some(is_hex_id(hex) && parse_replica_dir(replica).is_some())
    };
    parse_replica_dir(name).is_some() || aside().unwrap_or(false)
}

/// `TOPIC-N.HEX-stray`: the name of a stray, a replica directory that no topic names and that was
/// not deleted, moved out of another's way; as Kafka's (`LocalLog.logStrayDirName`). A topic's name
/// too long for it is cut.
pub fn stray_dir(tp: &TopicPartition, unique: &Uuid) -> String {
    let suffix = format!("-{}.{}{STRAY_SUFFIX}", tp.partition, unique.hex());
    let keep = NAME_BYTES_MAX.saturating_sub(suffix.len());
    let topic: String = tp.topic.as_str().chars().take(keep).collect();
    format!("{topic}{suffix}")
}

/// The partition in a name that [`stray_dir`] makes.
pub fn parse_stray_dir(name: &str) -> Option<TopicPartition> {
    let (replica, hex) = name.strip_suffix(STRAY_SUFFIX)?.rsplit_once('.')?;
    parse_replica_dir(replica).filter(|_| is_hex_id(hex))
}

/// `TOPIC-N.HEX-future`: the directory of a lost-state recovery, named as Kafka names a replica
/// that will replace another (`LocalLog.logFutureDirName`); a topic's name too long for it is cut.
pub fn future_dir(tp: &TopicPartition, replica: &Uuid) -> String {
    let suffix = format!("-{}.{}{FUTURE_SUFFIX}", tp.partition, replica.hex());
    let keep = NAME_BYTES_MAX.saturating_sub(suffix.len());
    let topic: String = tp.topic.as_str().chars().take(keep).collect();
    format!("{topic}{suffix}")
}

/// `GROUP`: the name, percent-encoded, of a group's directory below `groups`.
///
/// # Errors
/// [`Kind::Usage`] for an empty name and for one that is longer than 255 bytes when encoded.
pub fn group_dir(group: &str) -> Result<String> {
    let name = encode_group(group);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let why = if name.is_empty() {
            "it is empty"
        } else {
            "it is too long"
        };
        return Err(Error::new(
            Kind::Usage,
            format!("'{}' cannot be a group's name: {why}", group.escape_debug()),
        )
        .cure("use 1 to 255 bytes; all but A-Z a-z 0-9 . _ - count three times"));
    }
    Ok(name)
}

/// The group whose directory has this name.
pub fn parse_group_dir(name: &str) -> Option<String> {
    let group = percent_decode_str(name).decode_utf8().ok()?;
    (!group.is_empty() && encode_group(&group) == name).then(|| group.into_owned())
}

/// `members/ID`, in a group's directory.
pub fn member_file(member: &Uuid) -> String {
    format!("{MEMBERS_DIR}/{member}")
}

/// `commands/ID`, in a group's directory.
pub fn command_file(member: &Uuid) -> String {
    format!("{COMMANDS_DIR}/{member}")
}

/// The member whose file has this name in the members' directory.
pub fn parse_member_file(name: &str) -> Option<Uuid> {
    name.parse::<Uuid>()
        .ok()
        .filter(|id| id.to_string() == name)
}

/// `offsets.INODE.sync`, in a group's directory: the lock and note of a process that syncs the
/// `offsets.log` that has that inode.
pub fn offsets_sync(inode: u64) -> String {
    format!("{OFFSETS_PREFIX}{inode}{SYNC_SUFFIX}")
}

/// The inode in a name that [`offsets_sync`] makes.
pub fn parse_offsets_sync(name: &str) -> Option<u64> {
    canonical(
        name.strip_prefix(OFFSETS_PREFIX)?
            .strip_suffix(SYNC_SUFFIX)?,
    )
}

/// `lock.N`: the directory of a fenced lock.
pub fn lock_dir(n: u64) -> String {
    format!("{LOCK_PREFIX}{n}")
}

/// The N of a fenced lock's directory.
pub fn parse_lock_dir(name: &str) -> Option<u64> {
    canonical(name.strip_prefix(LOCK_PREFIX)?)
}

/// `lock.N/N`: the file of a fenced lock.
pub fn lock_file(n: u64) -> String {
    format!("{LOCK_PREFIX}{n}/{n}")
}

/// `staged.HEX`: a file created and synced beside a fenced lock before that lock is taken.
pub fn staged_file(unique: &Uuid) -> String {
    format!("{STAGED_PREFIX}{}", unique.hex())
}

/// Whether the name is one that [`staged_file`] makes.
pub fn is_staged_file(name: &str) -> bool {
    name.strip_prefix(STAGED_PREFIX).is_some_and(is_hex_id)
}

/// A random name for the staging directory of a store or group.
pub fn staging_dir(unique: &Uuid) -> String {
    format!("{STAGING_PREFIX}{}", unique.hex())
}

/// Whether the name is one that [`staging_dir`] makes.
pub fn is_staging_dir(name: &str) -> bool {
    name.strip_prefix(STAGING_PREFIX).is_some_and(is_hex_id)
}

fn encode_group(group: &str) -> String {
    let mut name = String::with_capacity(group.len());
    let dots_only = group == "." || group == "..";
    for byte in group.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if plain && !dots_only {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

fn is_hex_id(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn parse_hex_id(text: &str) -> Option<Uuid> {
    let id = u128::from_str_radix(text, 16)
        .ok()
        .filter(|_| is_hex_id(text))?;
    Some(Uuid(id.to_be_bytes()))
}

/// A number in the only spelling that mq writes: no sign, no leading zeros.
fn canonical<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    text.parse::<N>().ok().filter(|n| n.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).expect("topic"), partition)
    }

    #[test]
    fn replica_directories_are_parsed_at_the_last_dash() {
        for known in [tp("a", 0), tp("a-1", 2), tp("x.y_z-", 9999)] {
            assert_eq!(parse_replica_dir(&replica_dir(&known)), Some(known));
        }
        for bad in [
            "a",
            "a-",
            "-0",
            "a-01",
            "a-+1",
            "a--1x",
            "a-10000",
            "a/b-0",
            "a-0.x-delete",
        ] {
            assert_eq!(parse_replica_dir(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_longest_names_fit() {
        let topic = TopicName::new("t".repeat(TopicName::LEN_MAX)).expect("topic");
        let longest = TopicPartition::new(topic.clone(), PARTITIONS_MAX - 1);
        assert!(replica_dir(&longest).len() <= NAME_BYTES_MAX);
        assert!(topic_file(&topic).len() <= NAME_BYTES_MAX);
        let aside = aside_dir(&longest, &Uuid([7; 16]));
        assert_eq!(aside.len(), NAME_BYTES_MAX);
        assert!(is_aside_dir(&aside), "{aside}");
        assert!(is_aside_dir(&aside_dir(&tp("a-b", 1), &Uuid([0xab; 16]))));
        assert!(!is_aside_dir("a-1.xyz-delete"));
        let stray = stray_dir(&longest, &Uuid([7; 16]));
        assert_eq!(stray.len(), NAME_BYTES_MAX);
        assert!(parse_stray_dir(&stray).is_some() && !is_aside_dir(&stray));
        assert_eq!(
            parse_stray_dir(&stray_dir(&tp("a-b", 1), &Uuid([1; 16]))),
            Some(tp("a-b", 1))
        );
        for holds in [&stray, "a-b-1", &future_dir(&tp("a", 0), &Uuid([1; 16]))] {
            assert!(holds_replica(holds), "{holds}");
        }
        assert!(!holds_replica(&aside) && !holds_replica("lost+found"));
    }

    #[test]
    fn group_names_never_leave_their_directory() {
        for (group, name) in [
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("a/b", "a%2Fb"),
            ("ä", "%C3%A4"),
            ("a.b", "a.b"),
        ] {
            assert_eq!(group_dir(group).expect(group), name);
        }
        assert!(group_dir("").is_err());
        assert!(group_dir(&"g".repeat(255)).is_ok());
        assert!(group_dir(&"g".repeat(256)).is_err());
        assert!(group_dir(&"/".repeat(86)).is_err());
        for bad in ["", ".", "..", "%2e", "%41", "a b", "%ff", "%FF", "%"] {
            assert_eq!(parse_group_dir(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(parse_lock_dir(&lock_dir(u64::MAX)), Some(u64::MAX));
        for bad in [
            "lock.",
            "lock.01",
            "lock.+1",
            "lock.x",
            "lock",
            "lock.18446744073709551616",
        ] {
            assert_eq!(parse_lock_dir(bad), None, "{bad}");
        }
        assert_eq!(parse_offsets_sync(&offsets_sync(u64::MAX)), Some(u64::MAX));
        for bad in [
            "offsets.log",
            "offsets.sync",
            "offsets.01.sync",
            "offsets..sync",
        ] {
            assert_eq!(parse_offsets_sync(bad), None, "{bad}");
        }
        assert_eq!(parse_broker_dir("12"), Some(12));
        assert_eq!(parse_broker_dir("-1"), None);
        let topic = Uuid([0x0a; 16]);
        assert_eq!(parse_deleted_file(&deleted_file(&topic)), Some(topic));
        assert_eq!(parse_proof_file(&proof_file(&topic)), Some(topic));
        assert_eq!(parse_deleted_file(&topic.hex()), None);
        assert_eq!(parse_proof_file("deleted.+a"), None);
        let member = Uuid([9; 16]);
        assert_eq!(member_file(&member), format!("members/{member}"));
        assert_eq!(parse_member_file(&member.to_string()), Some(member));
    }

    proptest! {
        #[test]
        fn every_group_name_comes_back(group in any::<String>()) {
            if let Ok(name) = group_dir(&group) {
                prop_assert!(name.len() <= NAME_BYTES_MAX && !name.contains('/'));
                prop_assert!(name != "." && name != "..");
                prop_assert_eq!(parse_group_dir(&name), Some(group));
            }
        }
    }
}
