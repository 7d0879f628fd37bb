//! Room for the topic files that leadership transfers will write.

use std::sync::Arc;

use crate::error::Result;
use crate::store::{FencedLock, Staged, StoreDir, TopicMeta};

/// The bytes that a file may take beyond its length.
const BLOCK: usize = 4096;

/// Room on the store's disk for the topic files of leadership transfers, so that no log is sealed
/// for a change that cannot be written.
#[derive(Debug, Default)]
pub(crate) struct TopicFileReserve {
    /// The size of the topic files, in bytes.
    bytes: usize,
    /// Two files, since a holder of the store's lock creates a directory of its own, too.
    taken: Option<[Staged; 2]>,
}

impl TopicFileReserve {
    /// For the files of these topics.
    pub fn new<'a>(topics: impl Iterator<Item = &'a TopicMeta>) -> Self {
        // A file takes whole blocks.
        let bytes = topics.map(|meta| meta.encode().len() + BLOCK).sum();
        let taken = None;
        TopicFileReserve { bytes, taken }
    }

    /// Reserves the room, unless it is reserved.
    ///
    /// # Errors
    /// Those of [`FencedLock::stage`].
    pub fn take(&mut self, store: &StoreDir) -> Result<()> {
        if self.taken.is_none() {
            let lock = FencedLock::of_store(Arc::clone(store.root()), Arc::clone(store.clock()));
            self.taken = Some([
                lock.stage(&vec![0; self.bytes.max(BLOCK)])?,
                lock.stage(b"")?,
            ]);
        }
        Ok(())
    }

    /// Releases the room: the topic files are written now.
    pub fn give_back(&mut self) {
        self.taken = None;
    }
}
