//! An open log directory of a broker, and its registered place.

use std::sync::Arc;

use crate::disk::{Dir, FileId};
use crate::store::file_cache::CachedFile;
use crate::types::BrokerId;

/// A broker's log directory, open, and its registered place.
#[derive(Debug, Clone)]
pub struct LogDir {
    pub(crate) broker: BrokerId,
    pub(crate) place: Option<String>,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) id: FileId,
    /// Of a place elsewhere.
    pub(crate) claim: Option<CachedFile>,
}
