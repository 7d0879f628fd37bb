//! Being built.
pub mod point;
