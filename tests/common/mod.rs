//! What the test runners share. Each uses a part of it.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each runner uses a part"
)]

pub mod cli;
pub mod groups;
pub mod history;
pub mod kill_sweep;
pub mod mounts;
#[macro_use]
pub mod proc;
pub mod rig;
pub mod sim_disk;
pub mod snapshot;
pub mod sweep;
pub mod switches;
pub mod tally;
