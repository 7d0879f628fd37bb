//! mq: Kafka's model in a directory.
#![forbid(unsafe_code)]

pub mod client;
pub mod clock;
pub mod cluster;
pub mod codec;
pub mod disk;
pub mod error;
pub mod group;
pub mod record;
pub mod storage;
pub mod store;
pub mod types;

pub mod cli;
