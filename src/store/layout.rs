//! Where everything in a store is: every path and name, made and parsed here and nowhere else.
//!
//! ```text
//! store.json                      format version, cluster id
//! lock.N/N                        the store's fenced lock
//! topics/NAME.json                one topic
//! brokers/ID/broker.json          registration of a broker
//! brokers/ID/broker.lock          held for life by its daemon
//! brokers/ID/logs/TOPIC-N/        one replica
//! brokers/ID/logs/NAME.HEX-delete a replica directory that is being made, or was moved aside
//! controller.lock controller.json the controller's life lock and record
//! groups/GROUP/                   a group: lock.N/ group.json members/ID offsets.log
//! ```

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, PartitionId, TopicName, TopicPartition, Uuid};

/// The store's own file.
pub const STORE_FILE: &str = "store.json";
/// The topics' directory.
pub const TOPICS: &str = "topics";
/// The brokers' directory.
pub const BROKERS: &str = "brokers";
/// The groups' directory.
pub const GROUPS: &str = "groups";
/// The controller's life lock.
pub const CONTROLLER_LOCK: &str = "controller.lock";
/// The controller's record.
pub const CONTROLLER_FILE: &str = "controller.json";
/// Kafka's own file in a log directory.
pub const META_PROPERTIES: &str = "meta.properties";
/// A group's settings and members.
pub const GROUP_FILE: &str = "group.json";
/// A group's committed offsets.
pub const OFFSETS_FILE: &str = "offsets.log";
/// A group's member locks.
pub const MEMBERS: &str = "members";

/// Longest file name, bytes.
const NAME_MAX: usize = 255;

/// `topics/NAME.json`.
pub fn topic_file(name: &TopicName) -> String {
    format!("{TOPICS}/{name}.json")
}

/// The topic whose file has this name within `topics/`.
pub fn parse_topic_file(name: &str) -> Option<TopicName> {
    TopicName::new(name.strip_suffix(".json")?).ok()
}

/// `brokers/ID`.
pub fn broker_dir(id: BrokerId) -> String {
    format!("{BROKERS}/{id}")
}

/// `brokers/ID/broker.json`.
pub fn broker_file(id: BrokerId) -> String {
    format!("{BROKERS}/{id}/broker.json")
}

/// `brokers/ID/broker.lock`.
pub fn broker_lock(id: BrokerId) -> String {
    format!("{BROKERS}/{id}/broker.lock")
}

/// `brokers/ID/logs`.
pub fn logs_dir(id: BrokerId) -> String {
    format!("{BROKERS}/{id}/logs")
}

/// `TOPIC-N`, within a log directory.
pub fn replica_dir(tp: &TopicPartition) -> String {
    format!("{}-{}", tp.topic, tp.partition)
}

/// The partition whose replica directory has this name (`LogUtils`: the last dash divides).
pub fn parse_replica_dir(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let number: PartitionId = partition.parse().ok().filter(|n| *n >= 0)?;
    (number.to_string() == partition)
        .then(|| TopicName::new(topic).ok())
        .flatten()
        .map(|topic| TopicPartition::new(topic, number))
}

/// `TOPIC-N.HEX-delete`: a directory beside the replica's, as Kafka names those that it is about
/// to remove. The topic's part is shortened where the name would be too long.
pub fn aside_dir(tp: &TopicPartition, id: Uuid) -> String {
    let rest = format!("-{}.{}-delete", tp.partition, id.hex());
    let keep = tp.topic.as_str().len().min(NAME_MAX - rest.len());
    format!("{}{rest}", tp.topic.as_str().get(..keep).unwrap_or_default())
}

/// Whether a directory in a log directory was being made or was moved aside.
pub fn is_aside_dir(name: &str) -> bool {
    name.ends_with("-delete") && name.contains('.')
}

/// Characters of a group's name that stand for themselves in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// `groups/GROUP`, the name percent-encoded.
///
/// # Errors
/// [`Kind::Usage`] for an empty name and for one that does not fit a file name.
pub fn group_dir(name: &str) -> Result<String> {
    Ok(format!("{GROUPS}/{}", encode_group(name)?))
}

/// A group's name as a file name.
pub fn encode_group(name: &str) -> Result<String> {
    let encoded = match name {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        other => utf8_percent_encode(other, PLAIN).to_string(),
    };
    let why = if name.is_empty() {
        "it is empty"
    } else if encoded.len() > NAME_MAX {
        "it does not fit a file name"
    } else {
        return Ok(encoded);
    };
    Err(Error::new(Kind::Usage, format!("'{}' cannot be a group's name: {why}", name.escape_debug()))
        .cure("use UTF-8 of at most 255 bytes, three for each byte that is not A-Z a-z 0-9 . _ -"))
}

/// The group whose directory has this name within `groups/`.
pub fn parse_group_dir(name: &str) -> Option<String> {
    let decoded = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    (encode_group(&decoded).ok()? == name).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_directories_parse_as_kafkas() {
        let tp = TopicPartition::new(TopicName::new("a-b-1").expect("name"), 12);
        assert_eq!(replica_dir(&tp), "a-b-1-12");
        assert_eq!(parse_replica_dir("a-b-1-12"), Some(tp));
        for other in ["a", "a-", "a-x", "a--1", "a-01", "-1", "a-0.beef-delete"] {
            assert_eq!(parse_replica_dir(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_aside_fits_and_is_known() {
        let tp = TopicPartition::new(TopicName::new("x".repeat(249)).expect("name"), 9999);
        let name = aside_dir(&tp, Uuid([0xab; 16]));
        assert!(name.len() <= 255 && is_aside_dir(&name));
        assert_eq!(parse_replica_dir(&name), None);
    }

    #[test]
    fn group_names_round_trip() {
        for name in [".", "..", "a/b", "ä", "a b%", "..a", "x\0y", "plain-1_2.3"] {
            let encoded = encode_group(name).expect(name);
            assert!(!encoded.contains('/') && encoded != "." && encoded != "..");
            assert_eq!(parse_group_dir(&encoded).as_deref(), Some(name));
        }
        assert!(encode_group("").is_err() && encode_group(&"ä".repeat(43)).is_err());
        assert_eq!(parse_group_dir("a b"), None);
    }
}
