//! Which brokers live, for producers, consumers and queries: by the liveness locks alone, at a
//! system call or two. A hung broker counts as alive here; the controller finds it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::dir::StoreDir;
use crate::store::layout;
use crate::store::lock::LivenessWatch;
use crate::store::topics::PartitionMeta;
use crate::types::BrokerId;

/// Checks brokers' liveness. The files that it reads stay open.
#[derive(Debug)]
pub struct Liveness {
    store: Arc<StoreDir>,
    brokers: Mutex<HashMap<BrokerId, LivenessWatch>>,
    controller: Mutex<LivenessWatch>,
}

impl Liveness {
    /// Of a store's brokers.
    pub fn new(store: &Arc<StoreDir>) -> Self {
        let root = Arc::clone(store.root());
        Liveness {
            store: Arc::clone(store),
            brokers: Mutex::new(HashMap::new()),
            controller: Mutex::new(LivenessWatch::new(root, layout::CONTROLLER_LOCK)),
        }
    }

    /// Whether a daemon holds the broker's lock. If that cannot be checked, the broker does not
    /// count as alive.
    pub fn is_alive(&self, broker: BrokerId) -> bool {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = match brokers.entry(broker) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Ok(dir) = self.store.broker_dir(broker) else {
                    return false;
                };
                new.insert(LivenessWatch::new(dir, layout::BROKER_LOCK))
            }
        };
        let held = watch.is_held().unwrap_or(false);
        if !watch.is_open() {
            // The broker may be created again, in another directory.
            brokers.remove(&broker);
        }
        held
    }

    /// Whether the daemon of any replica lives: another broker may lead the partition in a moment.
    pub fn any_alive(&self, partition: &PartitionMeta) -> bool {
        let mut replicas = partition.replicas.iter();
        replicas.any(|replica| self.is_alive(replica.broker))
    }

    /// Whether a daemon holds the controller's lock.
    pub fn controller_lives(&self) -> bool {
        let mut lock = self
            .controller
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lock.is_held().unwrap_or(false)
    }
}
