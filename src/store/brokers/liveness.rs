//! Who lives, for those who produce, consume or ask: by the locks alone, at a call or two of the
//! system. A broker that hangs counts as alive here; the controller knows better.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::dir::StoreDir;
use crate::store::layout;
use crate::store::lock::LivenessWatch;
use crate::store::topics::PartitionMeta;
use crate::types::BrokerId;

/// Asks for lives. What it looks at stays open.
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

    /// Whether a daemon holds the broker's lock. One that cannot be asked for does not live.
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
            // The broker may be made anew, in another directory.
            brokers.remove(&broker);
        }
        held
    }

    /// Whether a daemon lives that holds a replica: another may lead the partition in a moment.
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
