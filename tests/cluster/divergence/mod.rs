//! Followers whose logs part from their leaders': what a leader had that its successors have not
//! is taken away by epoch, and the logs become the same, byte for byte, also if a process dies on the way.

#![allow(clippy::unused_self, reason = "a rig reads as one thing")]

mod cases;
mod histories;
mod replacements;
mod rig;
mod stops;
