//! Where a partition's records come from, as a member follows it.

use crate::types::{BrokerId, Uuid};

/// A replica: whose, and which directory.
pub(crate) type Source = (BrokerId, Option<Uuid>);
