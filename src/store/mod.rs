//! The directory that many processes share.
//!
//! Invariant: whoever changes something holds the lock that guards it, and everything is reached
//! by name within a directory that was opened before.

pub mod broker_file;
mod commit_note;
mod committer;
pub mod configs;
pub mod fenced_lock;
pub mod gate;
pub mod graveyard;
pub mod json_file;
pub mod layout;
mod leadership;
mod lifecycle;
pub mod log_dir;
mod mend;
mod meta_properties;
mod new_replica;
mod open;
mod page;
pub mod process;
mod reader;
mod rebuild;
mod removal;
mod replica;
pub mod reports;
pub mod store_file;
mod strays;
mod topic_handle;
pub mod topics;
pub mod unborn;
mod writer;

pub use commit_note::SYNC_FILE;
pub use committer::Committer;
pub use configs::TopicConfigs;
pub use lifecycle::{
    NewTopic, add_partitions, alter_configs, create_topic, delete_topic, open_or_create,
    set_topic_aside,
};
pub use log_dir::LogDir;
pub use open::StoreDir;
pub use page::{Offline, PAGE_FILE, Page};
pub use reader::PartitionReader;
pub use removal::{is_replica_there, remove_replica};
pub use replica::Replica;
pub use strays::{Stray, strays};
pub use topic_handle::TopicHandle;
pub use writer::{Appended, PartitionWriter, confirm};
