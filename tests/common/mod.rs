//! What the test binaries share. Each uses a part of it.
#![allow(dead_code, reason = "each binary uses a part")]

pub mod history;
pub mod rig;
pub mod sim_disk;
