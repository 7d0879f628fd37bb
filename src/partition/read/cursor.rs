//! Where a read stands within a segment.

use std::sync::Arc;

use crate::disk::File;
use crate::types::{LeaderEpoch, Offset};

/// Where the next read begins.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub generation: u64,
    pub segment: Offset,
    pub next_segment: Option<Offset>,
    pub position: u64,
    pub offset: Offset,
    pub epoch: LeaderEpoch,
    pub file: Arc<dyn File>,
}
