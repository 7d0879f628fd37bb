//! The replica that a partition's records come from, as a member follows it.

use crate::types::{BrokerId, Uuid};

/// A replica: its broker, and the id of its directory.
pub(crate) type ReplicaSource = (BrokerId, Option<Uuid>);
