//! `mq-broker`: the daemon that cares for a directory of replicas, and a look at what runs.

mod args;
mod drain;
mod job;
mod list;
mod run;

pub use args::Args;
