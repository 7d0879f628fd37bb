//! What the tools use of a store's directory itself: sharing, its names, its locks.

pub use crate::store::layout::{MEMBERS_DIR, OFFSETS_LOG, group_dir};
pub use crate::store::lock::suspend_guard::while_unlocked;
pub use crate::store::{
    Given, Listing, Paths, UnixGroup, create_shared, plan_shared, sharing_cure,
};
