//! One line of `offsets.log`.
//!
//! ```text
//! line  = LF n SP time SP kind SP member SP epoch *(SP entry) SP crc
//! entry = topic SP topic-id SP partition SP offset SP leader-epoch
//! ```
//!
//! | field | |
//! |---|---|
//! | n | the N of the group's fenced lock under which it was written |
//! | time | milliseconds since the Unix epoch |
//! | kind | `commit` by a member; `reset` (by `mq-groups reset` and `commit`), `undo`, `delete` |
//! |      | by an administrator; `live`: the group is in use, or, without a member, a mark of n; |
//! |      | `expire`: the group was unused for the time that offsets are kept |
//! |      | `clear`: of a rewritten file, the lines before it are the state that an undo restores |
//! | member | the member's id, percent-encoded, or `-` for none |
//! | epoch | the member's epoch, or without a member the largest one known |
//! | topic-id | base64url without padding, as Kafka writes ids |
//! | offset | the next one to be read, or -1 for none |
//!
//! A `delete` with entries deletes these offsets, one without deletes the group. A `commit` without
//! entries says that there is a group, though nothing is committed. The entries of an `undo` are
//! the offsets that it changes.
//!
//! | field | |
//! |---|---|
//! | leader-epoch | that of the record before, or -1 for unknown |
//! | crc | CRC-32 (IEEE) of all from `n` to the space before it, in eight lowercase hex digits |
//!
//! The line feed comes first: the next line's line feed ends a torn line.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

use crate::types::{LeaderEpoch, Offset, PARTITIONS_MAX, PartitionId, Timestamp, TopicName, Uuid};

/// Longest line that is written or read, bytes: all partitions of a large topic with a long name.
pub const LINE_BYTES_MAX: usize = 4 << 20;

const CRC_DIGITS: usize = 8;
const NO_MEMBER: &str = "-";
const FIELDS_OF_ENTRY: usize = 5;

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// A member read up to there.
    Commit,
    /// An administrator set offsets.
    Reset,
    /// An administrator reverted the last such change.
    Undo,
    /// The group was deleted, or the offsets in the entries.
    Delete,
    /// The group is in use; without a member: only a mark of the lock's N.
    Live,
    /// The group's offsets expired.
    Expire,
    /// The following lines begin from an empty state.
    Clear,
}

impl LineKind {
    const ALL: [LineKind; 7] = [
        LineKind::Commit,
        LineKind::Reset,
        LineKind::Undo,
        LineKind::Delete,
        LineKind::Live,
        LineKind::Expire,
        LineKind::Clear,
    ];

    /// Its name in the line.
    pub fn as_str(self) -> &'static str {
        match self {
            LineKind::Commit => "commit",
            LineKind::Reset => "reset",
            LineKind::Undo => "undo",
            LineKind::Delete => "delete",
            LineKind::Live => "live",
            LineKind::Expire => "expire",
            LineKind::Clear => "clear",
        }
    }
}

/// The offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsEntry {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to be read; -1: none.
    pub offset: Offset,
    /// The epoch of the record before; -1: unknown.
    pub leader_epoch: LeaderEpoch,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The N of the fenced lock.
    pub n: u64,
    /// The time, milliseconds since the Unix epoch.
    pub time_ms: Timestamp,
    /// The kind.
    pub kind: LineKind,
    /// The member.
    pub member: Option<String>,
    /// The epoch.
    pub epoch: i32,
    /// The offsets.
    pub entries: Vec<OffsetsEntry>,
}

impl Line {
    /// Its bytes, the line feed first.
    pub fn encode(&self) -> Vec<u8> {
        let member = self
            .member
            .as_deref()
            .map_or(NO_MEMBER.to_owned(), encode_member);
        let mut text = format!(
            "{} {} {} {member} {} ",
            self.n,
            self.time_ms,
            self.kind.as_str(),
            self.epoch
        );
        for entry in &self.entries {
            let _ = write!(
                text,
                "{} {} {} {} {} ",
                entry.topic, entry.topic_id, entry.partition, entry.offset, entry.leader_epoch
            );
        }
        let crc = crc32fast::hash(text.as_bytes());
        format!("\n{text}{crc:08x}").into_bytes()
    }

    /// Decodes a line's bytes, without the line feed; `None` unless it is complete.
    pub fn decode(bytes: &[u8]) -> Option<Line> {
        if bytes.len() > LINE_BYTES_MAX {
            return None;
        }
        let (text, crc) = bytes.split_at_checked(bytes.len().checked_sub(CRC_DIGITS)?)?;
        if crc != format!("{:08x}", crc32fast::hash(text)).as_bytes() {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?.strip_suffix(' ')?;
        let mut fields = text.split(' ');
        let n = number(fields.next()?)?;
        let time_ms = number(fields.next()?)?;
        let kind = fields.next()?;
        let kind = LineKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)?;
        let member = match fields.next()? {
            NO_MEMBER => None,
            member => Some(decode_member(member)?),
        };
        let epoch = number(fields.next()?)?;
        let fields: Vec<&str> = fields.collect();
        let entries = fields
            .chunks(FIELDS_OF_ENTRY)
            .map(decode_entry)
            .collect::<Option<_>>()?;
        Some(Line {
            n,
            time_ms,
            kind,
            member,
            epoch,
            entries,
        })
    }
}

fn decode_entry(fields: &[&str]) -> Option<OffsetsEntry> {
    let [topic, topic_id, partition, offset, leader_epoch] = fields else {
        return None;
    };
    Some(OffsetsEntry {
        topic: TopicName::new(*topic).ok()?,
        topic_id: topic_id.parse().ok()?,
        partition: number(partition).filter(|n| (0..PARTITIONS_MAX).contains(n))?,
        offset: number(offset).filter(|n| *n >= -1)?,
        leader_epoch: number(leader_epoch).filter(|n| *n >= -1)?,
    })
}

/// A number in the one spelling that mq writes.
fn number<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    text.parse::<N>().ok().filter(|n| n.to_string() == text)
}

fn encode_member(member: &str) -> String {
    let mut text = String::with_capacity(member.len());
    for byte in member.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if plain && member != NO_MEMBER {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn decode_member(text: &str) -> Option<String> {
    let member = percent_decode_str(text).decode_utf8().ok()?;
    (encode_member(&member) == text).then(|| member.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = OffsetsEntry> {
        (
            "[a-z0-9._][a-zA-Z0-9._-]{0,20}",
            any::<[u8; 16]>(),
            0..PARTITIONS_MAX,
            -1..i64::MAX,
            -1..i32::MAX,
        )
            .prop_filter("a name", |(topic, ..)| topic != "." && topic != "..")
            .prop_map(
                |(topic, id, partition, offset, leader_epoch)| OffsetsEntry {
                    topic: TopicName::new(topic).expect("topic"),
                    topic_id: Uuid(id),
                    partition,
                    offset,
                    leader_epoch,
                },
            )
    }

    fn line() -> impl Strategy<Value = Line> {
        (
            any::<u64>(),
            any::<i64>(),
            proptest::sample::select(LineKind::ALL.to_vec()),
            proptest::option::of(".*"),
            any::<i32>(),
            proptest::collection::vec(entry(), 0..5),
        )
            .prop_filter("a member has an id", |(_, _, _, member, ..)| {
                member.as_deref() != Some("")
            })
            .prop_map(|(n, time_ms, kind, member, epoch, entries)| Line {
                n,
                time_ms,
                kind,
                member,
                epoch,
                entries,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn lines_come_back_and_no_flipped_or_cut_one_counts(line in line()) {
            let bytes = line.encode();
            prop_assert_eq!(bytes[0], b'\n');
            let text = &bytes[1..];
            prop_assert!(text.iter().all(|b| (b' '..0x7f).contains(b)), "plain text");
            prop_assert_eq!(Line::decode(text), Some(line));
            for bit in 0..text.len() * 8 {
                let mut flipped = text.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(Line::decode(&flipped), None);
            }
            for len in 0..text.len() {
                prop_assert_eq!(Line::decode(&text[..len]), None);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = Line::decode(&bytes);
        }
    }

    #[test]
    fn a_right_checksum_on_a_wrong_line_does_not_count() {
        let sum = |text: &str| format!("{text}{:08x}", crc32fast::hash(text.as_bytes()));
        let id = Uuid([3; 16]);
        assert!(Line::decode(sum(&format!("1 2 commit m 3 t {id} 0 5 -1 ")).as_bytes()).is_some());
        for bad in [
            String::new(),
            "1 2 commit m 3".to_owned(),
            "1 2 other m 3 ".to_owned(),
            "01 2 commit m 3 ".to_owned(),
            "1 2 commit %6d 3 ".to_owned(),
            "1 2 commit m 3 t ".to_owned(),
            format!("1 2 commit m 3 t {id} 0 5 "),
            format!("1 2 commit m 3 t {id} 0 -2 -1 "),
            format!("1 2 commit m 3 t {id} 10000 5 -1 "),
            format!("1 2 commit m 3 a/b {id} 0 5 -1 "),
            format!("1 2 commit m 3 t {id} 0 5 -1 x "),
        ] {
            assert_eq!(Line::decode(sum(&bad).as_bytes()), None, "{bad}");
        }
    }
}
