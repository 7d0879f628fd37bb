//! What another Rust program uses: a producer, a consumer, and an admin of topics.

mod consumer;
mod delivery;
pub mod point;
mod producer;
mod producer_options;

pub use consumer::{BatchInfo, Consumer, Fetched, open_reader};
pub use producer::{Failure, Producer};
pub use producer_options::{Acks, Keyless, ProducerOptions, ProducerRecord, Receipt};
