//! `brokers/ID/broker.json`: a broker's registration.

use serde::{Deserialize, Serialize};

use crate::types::BrokerId;

/// The file's content. The embedded broker has no daemon until one is started for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerFile {
    /// The broker's number, as in the directory's name.
    pub broker_id: BrokerId,
    /// How often a daemon was started for it.
    pub incarnation: u64,
    /// The last daemon's process id; none before the first.
    pub pid: Option<u32>,
    /// Its rack, for placement.
    pub rack: Option<String>,
    /// The directory of its replicas; none: `logs` beside this file. Absolute.
    pub log_dir: Option<String>,
    /// The address it serves Kafka's protocol on.
    pub listener: Option<String>,
    /// Leads no partition until it is started again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
}

impl BrokerFile {
    /// A broker that has had no daemon yet.
    pub fn new(broker_id: BrokerId) -> Self {
        BrokerFile {
            broker_id,
            incarnation: 0,
            pid: None,
            rack: None,
            log_dir: None,
            listener: None,
            drained: false,
        }
    }
}
