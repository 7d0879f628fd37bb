//! mq: Kafka's model in a directory.
//!
//! Partitioned, replayable, durable topics that many processes share through files, with no server
//! to run. This is the library that a program embeds; the five tools are thin over it.
//!
//! ```
//! use mq::{NewTopic, Store};
//!
//! # fn main() -> mq::Result<()> {
//! # let scratch = tempfile::tempdir().expect("a directory");
//! # let path = scratch.path().join("store");
//! let store = Store::open(&path)?; // opens the store, or makes it
//! store.admin().ensure_topic(NewTopic::new("greetings"))?;
//!
//! let greetings = store.producer("greetings").open()?;
//! let sent = greetings.send("hello")?; // on its way without another call
//! sent.wait()?; // durable, unless the topic says otherwise
//!
//! let mut seen = Vec::new();
//! for record in store.consumer(["greetings"]).to_end().open()? {
//!     let record = record?;
//!     seen.push((record.offset(), record.value().map(<[u8]>::to_vec)));
//! }
//! assert_eq!(seen, [(0, Some(b"hello".to_vec()))]);
//! # Ok(())
//! # }
//! ```
//!
//! The names below are the whole public API. The modules that they come from are visible to the tools
//! and the tests of this repository only: nothing is promised of them. `docs/architecture.md` is their
//! map.
//!
//! Feature `cli` (on by default) holds the tools and all that they need; a program that embeds the
//! library turns it off: `mq = { version = "0.1", default-features = false }`.
#![forbid(unsafe_code)]

/// What `README.md` shows of the library compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use api::{
    Acks, Admin, Batch, BatchRecords, Closer, Compression, Consumer, ConsumerOptions, Error, Event,
    Failure, GroupConsumer, GroupOptions, Header, HeaderIter, Headers, Keyless, Kind, LogEdges,
    NewTopic, OffsetSpec, OnMissed, PartitionInfo, Positions, Producer, ProducerOptions, ReadFrom,
    Receipt, Record, RecordId, RecordRef, Result, Sent, Store, StoreOptions, TimestampType,
    TopicInfo, TopicName, TopicPartition, Unacknowledged,
};

#[doc(hidden)]
pub mod api;
#[doc(hidden)]
pub mod client;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod cluster;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod disk;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod group;
#[doc(hidden)]
pub mod lifecycle;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod partition;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod timing;
#[doc(hidden)]
pub mod types;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
