//! Which brokers may get replicas now.

use std::sync::Arc;

use crate::cluster::placement::Candidate;
use crate::error::Result;
use crate::store::{Liveness, StoreDir, json_file};
use crate::types::EMBEDDED_BROKER;

/// The live brokers, by number. If none is alive, it is the embedded broker, which also serves
/// without a daemon; a store that knows no other is not probed any further.
///
/// # Errors
/// [`crate::error::Kind::Damaged`] for a damaged registration; [`crate::error::Kind::Io`].
pub fn candidates(store: &Arc<StoreDir>) -> Result<Vec<Candidate>> {
    let ids = store.brokers()?;
    let mut found = Vec::new();
    if ids != [EMBEDDED_BROKER] {
        let liveness = Liveness::new(store);
        for id in ids {
            if liveness.is_alive(id) {
                let file = match store.broker_file(id) {
                    // It is registering for the first time.
                    Err(e) if json_file::is_missing(&e) => continue,
                    file => file?,
                };
                found.push(Candidate {
                    id,
                    rack: file.rack,
                    drained: file.drained,
                });
            }
        }
    }
    if found.is_empty() {
        found.push(Candidate {
            id: EMBEDDED_BROKER,
            rack: None,
            drained: false,
        });
    }
    Ok(found)
}
