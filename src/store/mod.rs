//! The directory that many processes share.
//!
//! Invariant: a process that changes something holds the lock that guards it, and everything is
//! reached by name within a directory that was opened before.

pub mod brokers;
mod create;
mod dir;
mod file_cache;
mod format;
pub mod json_file;
pub mod layout;
mod listing;
pub mod lock;
mod made_dirs;
mod metadata_lock;
mod process;
mod sharing;
mod small_file;
pub mod staging;
mod store_file;
pub mod topics;
mod unix_group;
mod usability;

pub(crate) use brokers::Late;
pub use brokers::{
    BrokerFile, Claimed, Liveness, LogDir, check, claim_empty, claim_own, refuse_gone, report,
    try_place, unclaim,
};
pub use dir::StoreDir;
pub(crate) use file_cache::{leads_to, names};
pub use format::{FORMAT_WITH_LOG_START, raise_format};
pub use json_file::{is_missing, read_bytes};
pub use layout::{
    BROKER_FILE, BROKER_LOCK, BROKERS_DIR, CONTROLLER_FILE, CONTROLLER_LOCK, DELETED_DIR, LOGS_DIR,
    MAKERS_DIR, TOPICS_DIR, aside_dir, damaged_topic_file, deleted_file, future_dir, maker_file,
    parse_lock_dir, parse_maker_file, parse_replica_dir, parse_stray_dir, proof_file, replica_dir,
    stray_dir,
};
pub use listing::Listing;
pub use lock::{
    COUNTER_LEN, FencedGuard, FencedLock, Heartbeat, Holder, HolderLost, LivenessLock,
    LivenessWatch, LockView, Probe, Staged, Stillness, SuspendGuard, SyncWatch, WriteProbe, enter,
    read,
};
pub use process::Process;
pub use sharing::{Given, Paths, create_shared, not_shared, plan_shared};
pub(crate) use small_file::{read_small, replace_small};
pub use staging::{StagingDir, Suspects};
pub use topics::{
    CleanupPolicy, DescribedConfig, KnownTopic, PartitionMeta, Reassignment, ReplicaMeta, Retired,
    TopicConfigs, TopicFile, TopicHandle, TopicMeta, forget_deleted, gather_proofs, read_if_there,
    read_to_change, replace, update_all, update_each,
};
pub(crate) use topics::{exists, is_deleted, is_on_the_way, keep_proof, path_in_store};
pub use unix_group::{UnixGroup, sharing_cure};
