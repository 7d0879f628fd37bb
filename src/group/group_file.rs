//! `group.json`: epoch, settings and members of a group.
//!
//! Replaced whole under the group's lock. It is synced only when settings change: members die
//! with the boot, so another boot's file counts for its epoch and settings alone.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::Dir;
use crate::error::{Error, Kind, Result};
use crate::store::json_file;
use crate::store::layout;
use crate::types::{PartitionId, Uuid};

/// The assignor of a group that was given none, as Kafka's.
const DEFAULT_ASSIGNOR: &str = "uniform";
const VERSION: u32 = 1;

/// What `group.json` says. Fields may be added later; what is not known is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFile {
    version: u32,
    /// The boot in which the members live, in hexadecimal digits.
    boot_id: String,
    /// Raised by each change of the members.
    pub group_epoch: i32,
    /// How partitions are shared out.
    pub assignor: String,
    /// How long after the newest line offsets are kept; Kafka's name, in minutes.
    #[serde(
        default,
        rename = "offsets.retention.minutes",
        skip_serializing_if = "Option::is_none"
    )]
    pub offsets_retention_minutes: Option<u32>,
    /// Who is in the group.
    pub members: Vec<Member>,
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
    /// What it subscribed to: names.
    pub topics: Vec<String>,
    /// The partitions it owns.
    pub assignment: Vec<TopicPartitions>,
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
        GroupFile {
            version: VERSION,
            boot_id: hex(boot_id),
            group_epoch,
            assignor: DEFAULT_ASSIGNOR.to_owned(),
            offsets_retention_minutes: None,
            members: Vec::new(),
        }
    }

    /// How long after the newest line offsets are kept, minutes: at least 1.
    pub fn retention_minutes(&self) -> u32 {
        self.offsets_retention_minutes
            .map_or(super::expiry::RETENTION_MINUTES_DEFAULT, |kept| kept.max(1))
    }

    /// Reads the file of the group in `dir`. Members of another boot are left out.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is unreadable or missing; [`Kind::UnusableStore`] for a newer one.
    pub fn read(dir: &Arc<dyn Dir>, boot_id: [u8; 16]) -> Result<Self> {
        let mut file: GroupFile = match json_file::read(&**dir, layout::GROUP_FILE) {
            Ok((file, _)) => file,
            Err(e) if json_file::is_missing(&e) => {
                return Err(e.with_kind(Kind::Damaged).cure("restore it from a backup"));
            }
            Err(e) => return Err(e),
        };
        if file.version != VERSION {
            return Err(Error::new(
                Kind::UnusableStore,
                format!(
                    "{} has version {}, this mq knows {VERSION}",
                    dir.path().join(layout::GROUP_FILE).display(),
                    file.version
                ),
            )
            .cure("use the newer mq that wrote it"));
        }
        let boot_id = hex(boot_id);
        if file.boot_id != boot_id {
            file.boot_id = boot_id;
            file.members.clear();
        }
        Ok(file)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        json_file::encode(self)
    }

    /// The member with that id and epoch.
    pub fn member(&self, id: Uuid, epoch: i32) -> Option<&Member> {
        self.members
            .iter()
            .find(|m| m.member_id == id && m.member_epoch == epoch)
    }
}

fn hex(bytes: [u8; 16]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
