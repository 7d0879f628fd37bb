//! Replication of one partition: the follower's log, the high watermark, the in-sync replicas, the
//! seal of a leadership transfer, and new leader epochs.

mod follower;
mod follower_append;
pub mod high_watermark;
mod isr;
mod joining;
mod leadership;
mod seal;

pub use follower::{Followed, Follower};
pub use high_watermark::{Shown, Watermark};
pub(crate) use isr::holder;
pub use isr::{Ahead, Extents, InSync, Known};
pub use joining::{Joining, JoiningSet};
pub use leadership::{Claim, begin_epoch, raise_epoch, raise_epochs};
pub use seal::Sealed;
