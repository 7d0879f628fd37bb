//! Bytes to numbers and back: what every binary format here shares.
//!
//! Invariant: knows no format of its own, touches no file, and never reads past what it was given.

mod reader;
pub mod varint;

pub use reader::{Malformed, Reader};
