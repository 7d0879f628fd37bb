//! What a process finds that comes after, and whether that is as promised.

use super::workloads::{SYNC_EACH, worker};
use crate::common::history::{Event, check};
use crate::common::rig::{Ledger, TIMEOUT, tp, view};
use crate::common::sim_disk::SimDisk;
use crate::common::tally::Tally;
use mq::client::Admin;
use mq::error::Result;

/// A process that comes after: everything promised must be there, and work goes on.
pub fn aftermath(sim: &SimDisk, ledger: &mut Ledger) -> Result<()> {
    let mut worker = worker(sim, 9)?;
    let expected = ledger.views.clone();
    for (topic, states) in expected {
        let found = view(&worker.store, &topic)?;
        assert!(
            states.contains(&found),
            "{topic} is {found:?}, which is none of {states:?}"
        );
        let Some((partitions, _)) = found.clone() else {
            worker.create(ledger, &topic, 2, SYNC_EACH)?;
            worker.append(ledger, &tp(&topic, 1), 1, 20)?;
            continue;
        };
        for partition in 0..partitions as i32 {
            let tp = tp(&topic, partition);
            worker.read(ledger, &tp)?;
            worker.append(ledger, &tp, 2, 30)?;
            // Who appends has synced what the topic file says; who only verified has not.
            ledger.views.insert(topic.clone(), vec![found.clone()]);
            worker.read(ledger, &tp)?;
            // Once a writer has been there, nothing is left for a deep look to find, not even what
            // reads would do without.
            let verified = Admin::new(&worker.store, TIMEOUT).verify(&tp, true)?;
            assert!(
                verified.findings.is_empty(),
                "{tp}: {:#?}",
                verified.findings
            );
        }
    }
    Ok(())
}

/// Looks at what a fault left, and fails the test if that is not as promised.
pub fn assess(what: &str, sim: &SimDisk, ledger: &Ledger) -> usize {
    Tally::case();
    let mut ledger = ledger.clone();
    ledger.errors.clear();
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| aftermath(sim, &mut ledger)));
    let failure = match outcome {
        Ok(Ok(())) => {
            let violations = check(&ledger.history);
            (!violations.is_empty()).then(|| format!("{violations:#?}"))
        }
        Ok(Err(e)) => Some(format!("{:?}: {e} ({:?})", e.kind(), e.cure_text())),
        Err(panic) => Some(format!("panic: {:?}", panic.downcast_ref::<String>())),
    };
    match failure {
        None => sim.ops() as usize,
        Some(text) => panic!(
            "{what}: {text}\nerrors: {:#?}\ntrace: {:#?}",
            ledger.errors,
            sim.trace()
        ),
    }
}

pub fn after_power_cut(ledger: &Ledger) -> Ledger {
    let mut ledger = ledger.clone();
    ledger.history.push(Event::PowerCut);
    ledger
}
