//! Promises that once did not hold, each as the history that broke it: what is acknowledged, shown
//! and durable; configs that change under open programs; slow disks; killed rolls; leaderships;
//! daemons with few descriptors; repairs; groups and commands; the library; thousands of partitions.

#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/mounts.rs"]
mod mounts;

mod acks;
mod apart;
mod commands;
mod configs;
mod daemon_faults;
mod daemons;
mod descriptors;
mod groups;
mod leaderships;
mod library;
mod readers;
mod removals;
mod repairs;
mod scale;
mod scripts;
mod sessions;
mod sharing;
mod slow_disk;
