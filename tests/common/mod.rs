//! What the test binaries share. Each uses a part of it.
#![allow(dead_code, unused_imports, reason = "each binary uses a part")]

pub mod groups;
pub mod history;
pub mod rig;
pub mod sim_disk;
pub mod tally;
