//! `cleanup.policy`: what is done with a topic's old records.

use std::str::FromStr;

/// What is done with old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Segments are removed by age and size, where `retention.ms` and `retention.bytes` say so.
    Delete,
    /// Values that a later record of their key replaces are removed.
    Compact,
    /// Both.
    CompactAndDelete,
}

impl CleanupPolicy {
    /// Whether segments are removed by age and size, and by a trim.
    pub fn deletes(self) -> bool {
        self != CleanupPolicy::Compact
    }

    /// Whether replaced values are removed.
    pub fn compacts(self) -> bool {
        self != CleanupPolicy::Delete
    }
}

impl FromStr for CleanupPolicy {
    type Err = ();

    /// Kafka's list: names in any order, each once.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "delete" => Ok(CleanupPolicy::Delete),
            "compact" => Ok(CleanupPolicy::Compact),
            "compact,delete" | "delete,compact" => Ok(CleanupPolicy::CompactAndDelete),
            _ => Err(()),
        }
    }
}
