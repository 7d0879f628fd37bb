//! The controller: decides which replica leads and which are in sync, when brokers start, die, hang
//! or are drained.
//!
//! [`step`] decides without I/O and without a clock; [`Controller`] carries it out. All lasting
//! state is in topic files: the next controller begins from them, from the brokers, and from one
//! probe of each leader.
//!
//! 1. A leader whose broker is not alive loses its leadership by a leadership transfer, as long as
//!    its directory serves: no records are lost. A forced failover, a new epoch that waits for no
//!    process, is for a directory that is offline or gone, and for an append lock whose holder had
//!    no heartbeat for 2 s. A slow transfer is no reason for it: the directory continues to serve.
//! 2. Only in-sync replicas are elected, unless the topic allows otherwise and no in-sync replica
//!    can lead.
//! 3. The leader is in sync. The ISR is never empty.
//! 4. A probe precedes each transfer and each forced failover, so a failure report is only a hint.
//! 5. A partition has one piece of work under way at a time, and its end is always reported.
//!    [`partition`] lists which work may follow which, and what is known together.
//! 6. A state page that a recovery sealed in the topic file's epoch gets a new epoch at once: no
//!    process can append before. A state page that is sealed for a transfer gets one after 2 s:
//!    ending brokers and users transfer leaderships, too. A state page of an older epoch only waits
//!    for its promotion.
//! 7. A change is made only if the topic file, read in the same critical section, has the topic id,
//!    the leader, its epoch and the replica ids that it was decided on, and if `controller.json`
//!    still names this daemon in this epoch. Otherwise it is dropped, and decided again.
//! 8. Failed work is retried after a pause that doubles, or once something changed.
//! 9. If the leader's directory is unusable and no other replica can lead, no replica leaves the
//!    ISR: its members are the ones to wait for.

mod approach;
mod assessment;
mod causes;
mod change_events;
mod changes;
mod context;
mod control_loop;
mod controlled_shutdown;
mod controller_election;
mod controller_file;
mod controller_role;
mod driver;
mod failover_policy;
mod leader_decision;
mod leadership_transfer;
mod manual_election;
mod metadata_update;
mod partition;
mod prober;
mod replica_snapshot;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod topic_change;
mod topic_file_reserve;
mod transfers_under_way;
mod work_id;

pub use control_loop::ControlLoop;
pub use controlled_shutdown::{shutdown_progress, shutdown_transfers};
pub use controller_election::ControllerElection;
pub use controller_file::ControllerFile;
pub use controller_role::Me;
pub use leadership_transfer::{LeadershipTransfer, Terms, TransferProgress, Witness, move_leaders};
pub use manual_election::{UncleanElection, elect_unclean, move_to_preferred, plan_unclean};
pub use metadata_update::{leaders, notify_moves};
pub use replica_snapshot::{SnapshotReader, open_logs};
pub use state::{AckedUpTo, ProbeRequest, ReplicaSnapshot};
pub(crate) use topic_change::{ChangedPartitions, TopicChanges};
pub use work_id::WorkId;
