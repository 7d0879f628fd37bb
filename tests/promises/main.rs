//! Promises that once did not hold, each as the history that broke it: what is acknowledged, shown
//! and durable; configs that change under open programs; slow disks; killed rolls; leaderships;
//! daemons with few descriptors; repairs; groups and commands; the library; thousands of partitions.
//!
//! A runner of its own for its size: it compiles and runs as long as another runner does.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod acks;
mod apart;
mod background_compaction;
mod commands;
mod compactions;
mod configs;
mod daemon_faults;
mod daemons;
mod descriptors;
mod disk_delays;
mod examples;
mod groups;
mod leaderships;
mod library;
mod readers;
mod removals;
mod repairs;
mod retention;
mod scale;
mod scripts;
mod sessions;
mod sharing;
mod trimmed_reads;
mod trims;

use common::{cli, mounts};
