//! `mq-broker`: the daemon that cares for a directory of replicas, and a look at what runs.

mod args;
mod args_cluster;
mod drain;
mod elect;
mod health;
mod init;
mod job;
mod known;
mod list;
mod reassign;
mod run;
mod stop;

pub use args::Args;
