//! The directory that many processes share.
//!
//! Invariant: whoever changes something holds the lock that guards it, and everything is reached
//! by name within a directory that was opened before.

pub mod broker_file;
mod commit_note;
mod committer;
pub mod configs;
mod confirm;
mod copied;
mod end_of_files;
pub mod fenced_lock;
mod first_use;
mod follower;
pub mod gate;
pub mod graveyard;
pub mod heartbeat;
mod in_sync;
mod inherited;
mod joining;
pub mod json_file;
mod judge;
mod kept;
mod known_topic;
pub mod layout;
mod leadership;
mod leftover;
pub mod life_lock;
mod lifecycle;
mod listing;
mod liveness;
pub mod log_dir;
mod log_snapshot;
mod made_dirs;
pub mod maker;
mod mend;
mod meta_properties;
mod moving;
mod names;
mod new_replica;
mod open;
mod page;
pub mod process;
mod reader;
mod reader_scan;
mod reader_state;
mod reassign;
mod rebuild;
mod recovery_decision;
mod removal;
mod repair;
mod replace;
mod replica;
pub mod reports;
mod seal;
mod served;
mod sharing;
pub mod store_file;
mod strays;
mod sync_lock;
mod timed_reads;
mod topic_handle;
pub mod topics;
mod truncate;
pub mod unborn;
mod watermark;
mod writer;

pub use commit_note::SYNC_FILE;
pub use committer::Committer;
pub use configs::TopicConfigs;
pub use confirm::confirm;
pub use first_use::{first_follower_reader, first_reader};
pub use follower::{Followed, Follower};
pub use in_sync::{Ahead, Extents, InSync, Known};
pub use joining::{Joining, JoiningSet};
pub use known_topic::KnownTopic;
pub use leadership::{Claim, begin_epoch, raise_epoch, raise_epochs};
pub use lifecycle::{
    NewTopic, add_partitions, alter_configs, check_assignment, check_partitions, create_topic,
    delete_topic, set_topic_aside,
};
pub use listing::Listing;
pub use liveness::Liveness;
pub use log_dir::LogDir;
pub use log_snapshot::LogSnapshot;
pub use new_replica::{MadeReplica, discard, make_replica, settle, unknown_broker};
pub use open::StoreDir;
pub use page::{Intent, Offline, PAGE_FILE, Page, Role, Seal};
pub use reader::{LogEdges, PartitionReader};
pub use reassign::{Change, cancel_reassignment, start_reassignment, under_way};
pub use removal::{Remover, is_replica_there, remove_flat};
pub use replace::{replace_replica, replace_replicas};
pub use replica::Replica;
pub use seal::{LEFT_AFTER, Sealed};
pub use served::Served;
pub use sharing::{
    Given, Paths, ShowShared, UnixGroup, create_shared, not_shared, plan_shared, sharing_cure,
};
pub use strays::{Stray, strays};
pub use timed_reads::until_answered;
pub use topic_handle::TopicHandle;
pub use watermark::{Shown, Watermark};
pub use writer::{Appended, PartitionWriter};
