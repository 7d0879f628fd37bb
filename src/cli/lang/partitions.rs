//! Partitions as arguments: `0,2-5`, `TOPIC:P`, `TOPIC:P=N`.

use super::escape::shown;
use super::usage;
use crate::error::Result;
use crate::types::{Offset, PARTITIONS_MAX, PartitionId, TopicName, TopicPartition};

/// Parses one partition number, from 0.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) if no partition can have this number.
pub fn parse_partition(text: &str) -> Result<PartitionId> {
    plain_number(text)
        .and_then(|n| PartitionId::try_from(n).ok())
        .filter(|n| *n < PARTITIONS_MAX)
        .ok_or_else(|| {
            usage(
                format!("'{}' is not a partition", shown(text)),
                format!(
                    "partitions are whole numbers from 0 to {}",
                    PARTITIONS_MAX - 1
                ),
            )
        })
}

/// Parses a list such as `0,2-5`: in ascending order, each partition once.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) for an empty part, or a range that runs backwards.
pub fn parse_partitions(text: &str) -> Result<Vec<PartitionId>> {
    let mut partitions = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let both = parse_partition(first).and_then(|first| Ok((first, parse_partition(last)?)));
        let (first, last) = both.map_err(|e| {
            usage(
                format!("'{}' is not a list of partitions: {e}", shown(text)),
                "use numbers and ranges with commas, such as 0,2-5",
            )
        })?;
        if last < first {
            return Err(usage(
                format!(
                    "'{}' is not a list of partitions: {part} runs backwards",
                    shown(text)
                ),
                format!("write {last}-{first}"),
            ));
        }
        // Checked for each part: the list is never longer than the most partitions of a topic.
        partitions.extend(first..=last);
        partitions.sort_unstable();
        partitions.dedup();
    }
    Ok(partitions)
}

/// Parses `TOPIC:P`.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage), or
/// [`Kind::InvalidTopic`](crate::error::Kind::InvalidTopic) for the name.
pub fn parse_topic_partition(text: &str) -> Result<TopicPartition> {
    let cure = "write TOPIC:P, such as orders:0";
    let Some((topic, partition)) = text.split_once(':') else {
        let text = format!("'{}' names no partition", shown(text));
        return Err(usage(text, cure));
    };
    if !topic.is_empty() && partition.is_empty() {
        let text = format!("'{}' has no partition behind its colon", shown(text));
        return Err(usage(text, cure));
    }
    Ok(TopicPartition::new(
        TopicName::new(topic)?,
        parse_partition(partition)?,
    ))
}

/// Parses `TOPIC` or `TOPIC:P`.
///
/// # Errors
/// As [`parse_topic_partition`].
pub fn parse_topic_with_partition(text: &str) -> Result<(TopicName, Option<PartitionId>)> {
    if text.contains(':') {
        parse_topic_partition(text).map(|tp| (tp.topic, Some(tp.partition)))
    } else {
        Ok((TopicName::new(text)?, None))
    }
}

/// Parses `TOPIC:P=N`, an offset for a partition.
///
/// # Errors
/// As [`parse_topic_partition`].
pub fn parse_partition_offset(text: &str) -> Result<(TopicPartition, Offset)> {
    let cure = "write TOPIC:P=N, such as orders:0=42";
    let Some((place, offset)) = text.split_once('=') else {
        return Err(usage(format!("'{}' gives no offset", shown(text)), cure));
    };
    let offset = plain_number(offset)
        .ok_or_else(|| usage(format!("'{}' is not an offset", shown(offset)), cure))?;
    Ok((parse_topic_partition(place)?, offset))
}

/// A number of digits only that fits an i64.
pub(super) fn plain_number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn lists() {
        for (text, list) in [
            ("0", &[0][..]),
            ("0,2-5", &[0, 2, 3, 4, 5]),
            ("5,1,1-2", &[1, 2, 5]),
            ("3-3", &[3]),
            ("9999", &[9999]),
        ] {
            assert_eq!(parse_partitions(text).expect(text), list, "{text}");
        }
        for text in [
            "",
            ",",
            "0,",
            "-1",
            "1-",
            "5-2",
            "a",
            "10000",
            "0-99999999999",
            "+1",
            "1 ",
            "1-2-3",
        ] {
            assert_eq!(
                parse_partitions(text).expect_err(text).kind(),
                Kind::Usage,
                "{text}"
            );
        }
    }

    #[test]
    fn topic_partitions() {
        let tp = parse_topic_partition("orders:3").expect("tp");
        assert_eq!((tp.topic.as_str(), tp.partition), ("orders", 3));
        let (topic, partition) = parse_topic_with_partition("orders").expect("topic");
        assert_eq!((topic.as_str(), partition), ("orders", None));
        assert_eq!(parse_topic_with_partition("a:1").expect("tp").1, Some(1));
        let (tp, offset) = parse_partition_offset("a.b-c:0=17").expect("offset");
        assert_eq!((tp.to_string().as_str(), offset), ("a.b-c:0", 17));
        for bad in ["a", ":0", "a:", "a:x", "a:-1", "a b:0", "a:0:0"] {
            assert!(parse_topic_partition(bad).is_err(), "{bad}");
        }
        for bad in [
            "a:0",
            "a:0=",
            "a:0=-1",
            "a:0=x",
            "a=1",
            "a:0=99999999999999999999",
            "a:0=1=2",
        ] {
            assert!(parse_partition_offset(bad).is_err(), "{bad}");
        }
    }
}
