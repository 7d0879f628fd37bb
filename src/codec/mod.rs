//! Bytes to numbers and back: shared by all binary formats here.
//!
//! Invariant: knows no format of its own, touches no file, and never reads past its input.

mod reader;
pub mod varint;

pub use reader::{Malformed, Reader};
