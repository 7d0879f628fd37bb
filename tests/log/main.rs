//! One replica's files: what is acknowledged is durable, what is read is what was written, and damage is
//! found. On a simulated disk that lies, and with the real tools on a real one.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod compactions;
mod crash;
mod crowd;
mod damage;
mod exact;
mod failed_sync;
mod frozen_store;
mod histories;
mod reboot;
mod retention;
mod sim_disk;
mod verify;

use common::{cli, proc, tally};
