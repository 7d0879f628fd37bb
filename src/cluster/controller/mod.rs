//! The controller: who leads, and who is in sync, when brokers come, die, hang or are drained.
//!
//! What to do is decided in [`step`], without I/O and without a clock; [`Controller`] carries it
//! out. Nothing is remembered anywhere but in topic files: the next controller begins from them,
//! from the brokers, and from one look at each leader.
//!
//! 1. A leader whose broker is not alive gives way by a planned move as long as its directory
//!    serves: nothing that it has is lost. The bare fence, a new epoch that waits for nobody, is for
//!    a directory that is offline or gone, and for an append lock whose holder has not beaten for
//!    2 s. A move that is late is no reason for it: the directory serves on.
//! 2. Only who is in sync is elected, unless the topic allows otherwise and nobody in sync can.
//! 3. Who leads is in sync. The in-sync set is never empty.
//! 4. A look precedes each move and each fence, so a report is a hint only.
//! 5. One thing at a time is under way for a partition, and its end is always told. What may follow
//!    what, and what is known together, stands in [`partition`].
//! 6. A page that a recovery sealed in the topic file's epoch gets a new epoch at once: nobody can
//!    append before. So does one that is sealed for a move, after 2 s: brokers that end, and
//!    people, move leaders, too. One of an older epoch waits for its promotion only.
//! 7. A change holds only if the topic id, the leader, its epoch and the replica ids it was decided
//!    on stand in the topic file read in the same hold, and if `controller.json` still names this
//!    daemon in this epoch. Else it is dropped, and decided anew.
//! 8. What fails is tried again after a pause that doubles, or once something changed.
//! 9. Where the leader's directory cannot be used and nobody else can lead, nobody leaves the
//!    in-sync set: its members are the ones to wait for.

mod approach;
mod assessment;
mod causes;
mod change_events;
mod changes;
mod context;
mod control_loop;
mod controller_file;
mod driver;
mod elect;
mod election;
mod failover_policy;
mod hand_over;
mod job;
mod leadership_transfer;
mod metadata_update;
mod partition;
mod prober;
mod replica_snapshot;
mod role;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod topic_change;
mod topic_file_reserve;

pub use control_loop::ControlLoop;
pub use controller_file::ControllerFile;
pub use elect::{UncleanElection, elect_unclean, move_to_preferred, plan_unclean};
pub use election::Election;
pub use hand_over::{moves_away, to_hand_over};
pub use job::WorkId;
pub use leadership_transfer::{LeadershipTransfer, Progress, Terms, Witness, move_leaders};
pub use metadata_update::{leaders, notify_moves};
pub use replica_snapshot::{SnapshotReader, open_logs};
pub use role::Me;
pub use state::{ProbeRequest, ReplicaSnapshot};
pub(crate) use topic_change::{Changed, Changes};
