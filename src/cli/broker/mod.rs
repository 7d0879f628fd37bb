//! `mq-broker`: the daemon that cares for a directory of replicas, and a look at what runs.

mod args;
mod job;
mod run;

pub use args::Args;
