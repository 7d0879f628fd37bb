//! `mq-broker`: the daemon that manages a directory of replicas, and commands about brokers.

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
