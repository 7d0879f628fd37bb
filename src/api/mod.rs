//! The library's public API. A [`Store`] is opened once; producers, consumers and an admin come
//! from it.
//!
//! - Nothing here prints, exits, handles signals or needs an async runtime.
//! - A process that forks must not use in the child what was opened in the parent: threads and locks
//!   do not survive a fork.
//!
//! Invariant: `api` holds no protocol of its own. It is a layer over `client`, which is the engine.

mod admin;
mod failure;
mod producer;
mod producer_options;
mod receipt;
mod record_ref;
mod sent;
mod store;
mod topic;

pub use crate::client::{Acks, Keyless};
pub use crate::error::{Error, Kind, Result};
pub use crate::record::Header;
pub use crate::types::Compression;
pub use admin::Admin;
pub use failure::{Failure, Unacknowledged};
pub use producer::Producer;
pub use producer_options::ProducerOptions;
pub use receipt::Receipt;
pub use record_ref::RecordRef;
pub use sent::Sent;
pub use store::{Store, StoreOptions};
pub use topic::{NewTopic, PartitionInfo, TopicInfo};

// The consuming half.
mod batch;
mod closer;
mod consumer;
mod consumer_options;
mod event;
mod fetch_buffer;
mod group_consumer;
mod group_offsets;
mod group_options;
mod offset_spec;
mod positions;
mod progress;
mod record;
mod stepping;

pub use crate::client::ReadFrom;
pub use crate::partition::LogEdges;
pub use crate::record::{HeaderIter, Headers};
pub use crate::types::{TimestampType, TopicName, TopicPartition};
pub use batch::{Batch, BatchRecords};
pub use closer::Closer;
pub use consumer::Consumer;
pub use consumer_options::{ConsumerOptions, OnMissed};
pub use event::Event;
pub use group_consumer::GroupConsumer;
pub use group_options::GroupOptions;
pub use offset_spec::OffsetSpec;
pub use positions::Positions;
pub use record::{Record, RecordId};
