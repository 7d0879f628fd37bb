//! Consumer groups: which member owns which partition, and what is committed, if members die, stand
//! still or come back; and what an administrator does with offsets.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod dead_members;
mod members;
mod offsets;
mod offsets_log;
mod paused_members;
mod session;
mod shared_sync;
mod takeover;

use common::{cli, snapshot, sweep, tally};
