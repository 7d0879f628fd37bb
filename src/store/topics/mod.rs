//! Topics by their files: the topic file, its configs, the handle that a process keeps open, and
//! the deletion proofs.

mod cleanup_policy;
mod configs;
mod deleted_topic;
pub mod deleted_topics;
mod known_configs;
mod known_topic;
pub mod topic_file;
mod topic_handle;
mod topic_meta;

pub use cleanup_policy::CleanupPolicy;
pub use configs::{DescribedConfig, TopicConfigs};
pub(crate) use deleted_topic::DeletedTopics;
pub use deleted_topics::{forget_deleted, gather_proofs};
pub(crate) use deleted_topics::{is_deleted, is_on_the_way, keep_proof};
pub use known_topic::{KnownTopic, TopicCache};
pub use topic_file::{
    TopicFile, list, read_if_there, read_to_change, replace, update_all, update_each,
};
pub(crate) use topic_file::{exists, path_in_store};
pub use topic_handle::TopicHandle;
pub use topic_meta::{PartitionMeta, Reassignment, ReplicaMeta, Retired, TopicMeta};
