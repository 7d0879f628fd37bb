//! What another Rust program uses: a producer, a consumer, and an admin of topics.

mod admin;
mod appender_waker;
mod completion;
mod consumer;
mod creation;
mod delivery;
mod enough_replicas;
mod followers;
mod group_session;
mod leader_reader;
mod ledger;
pub mod offset_spec;
mod opening;
mod position;
mod producer;
mod producer_options;
mod read_from;
mod reassignment;
mod records_around;
mod repair;
mod replicated;
mod resolve;
mod shared_producer;
mod target;
mod untimed_producer;
mod verify;

pub use crate::group::CommandFile;
pub use crate::partition::LogEdges;
pub use crate::store::{StoreDir as Store, TopicConfigs};
pub use admin::{Admin, LogDescription, PartitionDescription, TopicDescription};
pub use completion::Completion;
pub use consumer::{BatchInfo, Consumer, Fetched};
pub use creation::{NewReplicas, NewTopic, check_factor_alone};
pub use followers::FollowerDescription;
pub use group_session::options::GroupOptions;
pub use group_session::orders::{CommitWhen, Delivered, Delivery, End, Generation, Order};
pub use group_session::{Began, GroupSession};
pub use leader_reader::{open_now, open_reader};
pub use ledger::Listener;
pub use position::Position;
pub use producer::Producer;
pub use producer_options::{
    Acks, Keyless, Observer, ProducerOptions, ProducerRecord, Receipt, Sent,
};
pub use read_from::{Chooser, ReadFrom};
pub use reassignment::{PlannedReassignment, ReassignmentDescription};
pub use records_around::for_each_around;
pub use repair::refused as repair_refused;
pub use resolve::{ResolvedRange, Until, resolve_range, resolve_within};
pub use shared_producer::{Sending, SharedProducer, SharedSent, Unacknowledged, WhenFull};
pub use target::{check_for_new_topic, make_with};
pub use untimed_producer::{Failure, UntimedProducer};
pub use verify::Verified;
