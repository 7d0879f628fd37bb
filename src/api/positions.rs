//! The next offsets of partitions, as a program stores them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::client::Position;
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, PartitionId, TopicName, TopicPartition, Uuid};

/// The next offset of each partition, and the ids of the topics: an offset is refused in a topic that
/// was deleted and created again under the same name.
///
/// As text, positions can be stored beside the results of the records, such as an index. The text
/// is one line without line end: `TOPIC@TOPIC_ID:PARTITION=OFFSET,PARTITION=OFFSET
/// TOPIC@TOPIC_ID:...`, sorted.
///
/// ```
/// # fn main() -> mq::Result<()> {
/// use mq::Positions;
///
/// let text = "orders@AAAAAAAAAAAAAAAAAAAAAQ:0=120,1=98";
/// let positions: Positions = text.parse()?;
/// let offsets: Vec<i64> = positions.iter().map(|(_, offset)| offset).collect();
/// assert_eq!(offsets, [120, 98]);
/// assert_eq!(positions.to_string(), text);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions(BTreeMap<TopicPartition, PartitionPosition>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PartitionPosition {
    topic_id: Uuid,
    offset: Offset,
}

impl Positions {
    /// The next offset of a partition; `None` if the partition is not included.
    pub fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.get(partition).map(|place| place.offset)
    }

    /// Each partition with its next offset, sorted by topic and number.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.0.iter().map(|(tp, place)| (tp, place.offset))
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no partitions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a partition, or changes its offset.
    pub(super) fn set(&mut self, tp: TopicPartition, topic_id: Uuid, offset: Offset) {
        self.0.insert(tp, PartitionPosition { topic_id, offset });
    }

    /// Where the engine begins with a partition.
    pub(super) fn position(&self, tp: &TopicPartition) -> Option<Position> {
        self.0.get(tp).map(|place| Position {
            offset: place.offset,
            topic_id: Some(place.topic_id),
        })
    }

    /// Each partition with its topic's id and its next offset.
    pub(super) fn places(&self) -> impl Iterator<Item = (&TopicPartition, Uuid, Offset)> {
        let place = |(tp, place): (_, &PartitionPosition)| (tp, place.topic_id, place.offset);
        self.0.iter().map(place)
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: Option<(&TopicName, Uuid)> = None;
        for (tp, id, offset) in self.places() {
            if last == Some((&tp.topic, id)) {
                write!(f, ",{}={offset}", tp.partition)?;
            } else {
                let gap = if last.is_some() { " " } else { "" };
                write!(f, "{gap}{}@{id}:{}={offset}", tp.topic, tp.partition)?;
            }
            last = Some((&tp.topic, id));
        }
        Ok(())
    }
}

impl FromStr for Positions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut positions = Positions::default();
        for word in text.split_ascii_whitespace() {
            let bad = || bad(word);
            let (topic, rest) = word.split_once('@').ok_or_else(bad)?;
            let (id, places) = rest.split_once(':').ok_or_else(bad)?;
            let topic = TopicName::new(topic).map_err(|_| bad())?;
            let topic_id: Uuid = id.parse().map_err(|_| bad())?;
            for place in places.split(',') {
                let (partition, offset) = place.split_once('=').ok_or_else(bad)?;
                let partition = number(partition).ok_or_else(bad)?;
                let partition = PartitionId::try_from(partition).map_err(|_| bad())?;
                let offset = number(offset).ok_or_else(bad)?;
                let tp = TopicPartition::new(topic.clone(), partition);
                if positions.get(&tp).is_some() {
                    return Err(bad());
                }
                positions.set(tp, topic_id, offset);
            }
        }
        Ok(positions)
    }
}

/// A number of digits only.
fn number(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn bad(word: &str) -> Error {
    let shown: String = word.chars().take(80).collect();
    let text = format!("'{}' is no position", shown.escape_debug());
    Error::new(Kind::Usage, text)
        .cure("positions are written TOPIC@TOPIC_ID:PARTITION=OFFSET,...: use the stored text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let id = |n: u8| Uuid([n; 16]);
        let mut positions = Positions::default();
        assert_eq!("".parse::<Positions>().expect("none"), positions);
        for (topic, partition, topic_id, offset) in [
            ("b", 0, 7, 0),
            ("a.x", 1, 8, i64::MAX),
            ("a.x", 0, 8, 5),
            // Another topic of that name: the two stay distinct though they stand side by side.
            ("a.x", 2, 9, 6),
        ] {
            let tp = TopicPartition::new(TopicName::new(topic).expect("name"), partition);
            positions.set(tp, id(topic_id), offset);
        }
        let text = positions.to_string();
        assert_eq!(
            text.parse::<Positions>().expect("read"),
            positions,
            "{text}"
        );
        assert_eq!(text.split(' ').count(), 3, "{text}");
    }

    #[test]
    fn what_is_no_position_is_refused() {
        const ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
        for text in [
            "t".to_owned(),
            format!("t@{ID}"),
            format!("t@{ID}:"),
            format!("t@{ID}:0"),
            format!("t@{ID}:0=-1"),
            format!("t@{ID}:0=+1"),
            format!("t@{ID}:0=1,"),
            format!("t@{ID}:0=1,0=2"),
            format!("t@{ID}:0=1 t@{ID}:0=1"),
            format!("t@{ID}:3000000000=1"),
            format!("t@{ID}:0=99999999999999999999"),
            "t@short:0=1".to_owned(),
            format!("a/b@{ID}:0=1"),
        ] {
            let reported = text.parse::<Positions>().expect_err(&text);
            assert_eq!(reported.kind(), Kind::Usage, "{text}");
        }
    }
}
