//! What the tools use of topics: topic files, configs, partitions, strays.

pub use crate::lifecycle::{Stray, check_assignment, unknown_broker};
pub use crate::store::topics::list;
pub use crate::store::topics::topic_file::{read, unknown};
pub use crate::store::{PartitionMeta, TopicConfigs, TopicHandle, TopicMeta, read_if_there};
