//! Several brokers on one store: replicas that part and become the same again, leaderships, log
//! directories, topics that come and go.
//!
//! Clusters under continuous faults are in the runner `faults`, which gives them the machine for
//! themselves.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod daemon;
mod divergence;
mod log_dirs;
mod observer;
mod operations;
mod strays;
mod topics;

use common::{cli, mounts, tally};
