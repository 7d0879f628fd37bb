//! Crashes at every operation: of each workload, one process dies (or meets an error) at its nth
//! operation for each n, then the next one looks at what is left, appends and reads; and the same
//! for power cuts, and for a second crash within the recovery from the first.

mod aftermath;
mod errors;
mod later_cut;
mod stops;
mod workloads;

use crate::common::history::check;
use crate::common::rig::Ledger;
use crate::common::sim_disk::SimDisk;
pub use workloads::remove_page;
use workloads::{Workload, prepare};

/// Runs the workload with the fault planned by `plan`; the disk and the ledger then, and whether
/// the fault was met.
fn run_with(workload: &Workload, plan: impl FnOnce(&SimDisk)) -> (SimDisk, Ledger) {
    let (sim, mut ledger) = prepare(workload);
    plan(&sim);
    let _ = (workload.run)(&sim, &mut ledger);
    (sim, ledger)
}

fn count_ops(workload: &Workload) -> u64 {
    let (sim, mut ledger) = prepare(workload);
    let outcome = (workload.run)(&sim, &mut ledger);
    assert!(
        outcome.is_ok(),
        "{}: {:?} {:?}",
        workload.name,
        outcome.err(),
        ledger.errors
    );
    assert_eq!(
        check(&ledger.history),
        [],
        "{} without faults",
        workload.name
    );
    sim.ops()
}
