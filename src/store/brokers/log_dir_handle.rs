//! A broker's log directory, open, and where its registration says that it is.

use std::sync::Arc;

use crate::disk::{Dir, FileId};
use crate::store::kept::KeptFile;
use crate::types::BrokerId;

/// A broker's log directory, open, and where the registration says that it is.
#[derive(Debug, Clone)]
pub struct LogDir {
    pub(crate) broker: BrokerId,
    pub(crate) place: Option<String>,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) id: FileId,
    /// Of a place elsewhere.
    pub(crate) claim: Option<KeptFile>,
}
