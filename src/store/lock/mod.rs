//! Locks of a store: the fenced lock, the daemons' liveness locks, and the heartbeats and write
//! probes that tell a slow holder from a stopped one.

mod deletion_proof;
mod fenced_lock;
pub mod heartbeat;
pub mod liveness_lock;
mod lock_files;
pub mod suspend_guard;
pub mod write_probe;

pub(crate) use deletion_proof::{is_gone, make_place, path_of};
pub use fenced_lock::{FencedGuard, FencedLock, Staged, create_lock};
pub use heartbeat::{COUNTER_LEN, Heartbeat, HolderLost, Stillness, SyncWatch, read};
pub use liveness_lock::{Holder, LivenessLock, LivenessWatch, LockView, Probe};
pub(crate) use lock_files::{io_error, remove_tree};
pub use suspend_guard::{SuspendGuard, enter};
pub use write_probe::WriteProbe;
