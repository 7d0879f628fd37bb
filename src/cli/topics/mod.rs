//! `mq-topics`: creates, lists, describes, changes, verifies and deletes topics.

mod args;
mod args_compact;
mod args_create;
mod args_plan;
mod args_stats;
mod args_trim;
mod change;
mod cleanup;
mod compact;
mod dump;
mod job;
mod run;
mod show;
mod stats;
mod trim;
mod verify;

pub use args::Args;
