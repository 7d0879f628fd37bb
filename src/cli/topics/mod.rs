//! `mq-topics`: make, look at, change, check and delete topics.

mod args;
mod change;
mod dump;
mod show;
mod verify;

pub use args::Args;
