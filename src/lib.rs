//! mq: Kafka's model in a directory.
//!
//! Partitioned, replayable, durable topics that many processes share through files, with no server
//! to run. The five tools are thin over this library.
//!
//! ```
//! use std::ops::ControlFlow;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use mq::client::{Admin, Consumer, NewTopic, Producer, ProducerOptions, Store};
//! use mq::clock::SystemClock;
//! use mq::disk::OsDisk;
//! use mq::record::Decompressor;
//! use mq::types::{TopicName, TopicPartition};
//!
//! # fn main() -> mq::error::Result<()> {
//! # let scratch = tempfile::tempdir().expect("a directory");
//! # let path = scratch.path().join("store");
//! let disk = Arc::new(OsDisk);
//! let store = Arc::new(Store::open_or_create(disk, Arc::new(SystemClock::default()), &path)?);
//!
//! let topic = TopicName::new("greetings")?;
//! let admin = Admin::new(&store, Duration::from_secs(5));
//! admin.create_topic(&NewTopic::new(topic.clone(), 1))?;
//!
//! let mut producer = Producer::open(&store, &topic, ProducerOptions::default())?;
//! producer.send_value(1_700_000_000_000, b"hello")?;
//! // Acknowledged: on disk, unless the topic says otherwise.
//! assert_eq!(producer.close(|_receipts| ()).map_err(|failure| failure.error)?, 1);
//!
//! let mut consumer = Consumer::new(&store);
//! consumer.assign(&TopicPartition::new(topic, 0), 0, None)?;
//! let mut seen = Vec::new();
//! while let Some(fetched) = consumer.fetch(1 << 20, &mut Vec::new())? {
//!     fetched.for_each(&mut Decompressor::default(), |_, record| {
//!         seen.push((record.offset, record.value.map(<[u8]>::to_vec)));
//!         ControlFlow::<()>::Continue(())
//!     })?;
//! }
//! assert_eq!(seen, [(0, Some(b"hello".to_vec()))]);
//! # Ok(())
//! # }
//! ```
//!
//! `docs/architecture.md` is the map of the modules below.
#![forbid(unsafe_code)]

pub mod api;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod codec;
pub mod disk;
pub mod error;
pub mod group;
pub mod lifecycle;
pub mod log;
pub mod partition;
pub mod record;
pub mod store;
pub mod timing;
pub mod types;

pub mod cli;
