//! `partition.metadata`: which topic a replica directory belongs to.
//!
//! Text (`PartitionMetadataFile.java`): `version: 0`, `topic_id: UUID`, no newline at the end.
//! Kafka ignores further lines; mq adds `replica_id: UUID`, created with the directory.

use crate::error::{Error, Kind, Result};
use crate::types::Uuid;

/// The ids of a replica directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The topic's id: a topic that is created again under the same name gets another.
    pub topic_id: Uuid,
    /// This replica's own id: a directory that is created again gets another. `None` if Kafka wrote
    /// it.
    pub replica_uuid: Option<Uuid>,
}

impl PartitionMetadata {
    /// The file's name.
    pub const FILE: &'static str = "partition.metadata";

    /// The file's text.
    pub fn to_text(self) -> String {
        let mut text = format!("version: 0\ntopic_id: {}", self.topic_id);
        if let Some(uuid) = self.replica_uuid {
            text.push_str(&format!("\nreplica_id: {uuid}"));
        }
        text
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is not of this form.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let bad = || Error::new(Kind::Damaged, "partition.metadata is not in Kafka's form");
        let text = std::str::from_utf8(text).map_err(|_| bad())?;
        let (mut version, mut topic_id, mut replica_uuid) = (None, None, None);
        for line in text.lines() {
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            match name {
                "version" => version = Some(value),
                "topic_id" => topic_id = Some(value.parse::<Uuid>().map_err(|_| bad())?),
                "replica_id" => replica_uuid = Some(value.parse::<Uuid>().map_err(|_| bad())?),
                _ => {}
            }
        }
        match (version, topic_id) {
            (Some("0"), Some(topic_id)) => Ok(PartitionMetadata {
                topic_id,
                replica_uuid,
            }),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_with_and_without_our_line() {
        let topic_id = Uuid::random().expect("random");
        for replica_uuid in [None, Some(Uuid::random().expect("random"))] {
            let metadata = PartitionMetadata {
                topic_id,
                replica_uuid,
            };
            let text = metadata.to_text();
            assert!(!text.ends_with('\n'));
            assert_eq!(
                PartitionMetadata::parse(text.as_bytes()).expect("parse"),
                metadata
            );
        }
        assert!(PartitionMetadata::parse(b"version: 1\ntopic_id: x").is_err());
    }
}
