//! The options that a broker is started with.

use std::path::PathBuf;

use crate::store::{BrokerFile, LivenessLock};

/// The options of a daemon's start. An option that is absent stays as it was registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerOptions {
    /// Where its replicas are; absolute.
    pub log_dir: Option<PathBuf>,
    /// Its rack; empty: none.
    pub rack: Option<String>,
}

/// A broker that was just registered.
#[derive(Debug)]
pub(crate) struct First {
    pub file: BrokerFile,
    pub lock: LivenessLock,
    pub warnings: Vec<String>,
    pub notes: Vec<String>,
}

/// A rack as it is registered.
pub(crate) fn rack_of(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
