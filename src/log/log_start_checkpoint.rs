//! `log-start-offset-checkpoint`: where a replica's log starts, so that a lost or older state page
//! does not bring back what was removed.
//!
//! Text, as Kafka writes it for a whole log directory (`OffsetCheckpointFile.java`): a line `0` (the
//! version), a line with the number of entries, then a line `TOPIC PARTITION OFFSET` each. Here it
//! stands in the replica's own directory, with one entry. The checkpoints of compaction have the same
//! form ([`CLEANED_FILE`], [`DELETIONS_FILE`]).

use crate::error::{Error, Kind, Result};
use crate::types::{Offset, TopicPartition};

/// The file's name.
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";

/// The checkpoint of compaction, as Kafka calls it: all below its offset was compacted. A hint, since
/// without it more is read.
pub const CLEANED_FILE: &str = "cleaner-offset-checkpoint";

/// The offset below which a compaction left out deletions: mq's own, for a state page that is lost.
pub const DELETIONS_FILE: &str = "deletions-offset-checkpoint";

/// The file's text.
pub fn log_start_text(tp: &TopicPartition, log_start: Offset) -> String {
    format!("0\n1\n{} {} {log_start}\n", tp.topic, tp.partition)
}

/// The offset in the file's text.
///
/// # Errors
/// [`Kind::Damaged`] if it is not exactly of this form, or names another partition.
pub fn parse_log_start(tp: &TopicPartition, text: &[u8]) -> Result<Offset> {
    parse(tp, text).ok_or_else(|| {
        let text = format!("{LOG_START_FILE} of {tp} is not in Kafka's form");
        Error::new(Kind::Damaged, text)
    })
}

fn parse(tp: &TopicPartition, text: &[u8]) -> Option<Offset> {
    let text = std::str::from_utf8(text).ok()?;
    let entry = text.strip_prefix("0\n1\n")?.strip_suffix('\n')?;
    let mut fields = entry.split(' ');
    let (topic, partition) = (fields.next()?, fields.next()?);
    let offset = fields.next()?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fields.next().is_some() || topic != tp.topic.as_str() || !digits(offset) {
        return None;
    }
    (partition == tp.partition.to_string())
        .then(|| offset.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicName;

    #[test]
    fn text_round_trips_and_other_text_is_refused() {
        let tp = TopicPartition::new(TopicName::new("a.b").expect("a name"), 3);
        let text = log_start_text(&tp, 42);
        assert_eq!(text, "0\n1\na.b 3 42\n");
        assert_eq!(parse_log_start(&tp, text.as_bytes()).expect("parsed"), 42);
        for bad in [
            "",
            "0\n1\n",
            "0\n0\n",
            "1\n1\na.b 3 42\n",
            "0\n1\na.b 3 42",
            "0\n1\na.b 4 42\n",
            "0\n1\nb 3 42\n",
            "0\n1\na.b 3 -1\n",
            "0\n1\na.b 3 +1\n",
            "0\n1\na.b 3 42 \n",
            "0\n1\na.b 3 42\n\n",
            "0\n1\na.b 3 99999999999999999999\n",
        ] {
            let e = parse_log_start(&tp, bad.as_bytes()).expect_err(bad);
            assert_eq!(e.kind(), Kind::Damaged, "{bad:?}");
        }
    }
}
