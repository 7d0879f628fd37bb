//! What `mq-broker` was asked to do, typed.

use std::path::PathBuf;

use crate::cli::output::OutputOptions;
use crate::types::BrokerId;

/// One run of `mq-broker`.
#[derive(Debug)]
pub enum Job {
    /// `start`
    Start(Start),
    /// `status`
    Status(OutputOptions),
    /// `stop`: that broker, else the only one that runs.
    Stop(Option<BrokerId>),
    /// `locks`
    Locks(OutputOptions),
}

/// `mq-broker start`.
#[derive(Debug)]
pub struct Start {
    /// Its id, from 0.
    pub id: BrokerId,
    /// Where its replicas lie; `None`: in the store.
    pub log_dir: Option<PathBuf>,
    /// Its rack.
    pub rack: Option<String>,
}
