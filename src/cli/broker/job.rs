//! What `mq-broker` was asked to do, typed.

use std::time::Duration;

use crate::cli::output::OutputOptions;
use crate::cluster::BrokerOptions;
use crate::types::BrokerId;

/// One run of `mq-broker`.
#[derive(Debug)]
pub enum Job {
    /// `start`
    Start {
        /// Which broker.
        id: BrokerId,
        /// What is registered of it; a relative path is still one.
        options: BrokerOptions,
    },
    /// `status`
    Status(OutputOptions),
    /// `list`
    List(OutputOptions),
    /// `drain`
    Drain {
        /// Which.
        id: BrokerId,
        /// Take it back.
        undo: bool,
        /// How long to wait until it leads nothing.
        timeout: Duration,
    },
    /// `stop`: that broker, else the only one that runs.
    Stop {
        /// Which.
        id: Option<BrokerId>,
        /// How long its end is waited for.
        timeout: Duration,
    },
    /// `locks`
    Locks(OutputOptions),
}
