//! mq: Kafka's model in a directory.
#![forbid(unsafe_code)]

pub mod clock;
pub mod codec;
pub mod disk;
pub mod error;
pub mod types;

pub mod record;

pub mod cli;
