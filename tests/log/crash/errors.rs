//! Operations that fail, each once.

use super::aftermath::{after_power_cut, assess};
use super::workloads::{
    ADD_PARTITIONS, ALTER, APPEND, APPEND_ROLLS, CREATE, NEVER_AND_ROLL, RETAIN_NONE, TRIM,
    TRIM_NEVER, Workload, worker,
};
use super::{count_ops, run_with};
use crate::common::rig::{Ledger, log_of, tp, view};
use crate::common::sim_disk::SimDisk;
use crate::common::tally::Tally;
use mq::error::Kind;
use mq::store::topics::topic_file;
use rustix::io::Errno;

/// Every operation fails once; what is reported must be true, and work goes on, if need be after a
/// repair.
fn fail_everywhere(workload: &Workload, errno: Errno) {
    let ops = count_ops(workload);
    for n in 1..=ops {
        for short in [None, Some(30)] {
            let (sim, ledger) = run_with(workload, |sim| match short {
                None => sim.fail_at(n, errno),
                Some(bytes) => sim.fail_short_at(n, errno, bytes),
            });
            let at = sim.trace().get(n as usize - 1).cloned().unwrap_or_default();
            let is_write = at.starts_with("write_at");
            let is_sync = at.starts_with("sync");
            if short.is_some() && !is_write {
                continue;
            }
            let what = format!(
                "{}: {errno:?} at {n} ({at}), short {short:?}",
                workload.name
            );
            for power_cut in [true, false] {
                let (sim, mut ledger) = if power_cut {
                    (sim.if_crashed(&mut |_| 0), after_power_cut(&ledger))
                } else if is_sync {
                    // What the sync did not get to the disk is gone, as after a power cut.
                    sim.drop_caches();
                    (sim.process(), after_power_cut(&ledger))
                } else {
                    (sim.process(), ledger.clone())
                };
                ledger.errors.clear();
                repair_offline(&what, &sim, &mut ledger);
                assess(
                    &format!("{what}, power cut {power_cut}"),
                    &sim.process(),
                    &ledger,
                );
            }
        }
    }
}

/// Partitions that a failed sync took offline are refused, then repaired.
fn repair_offline(what: &str, sim: &SimDisk, ledger: &mut Ledger) {
    let Ok(mut worker) = worker(sim, 8) else {
        return;
    };
    for topic in topic_file::list(&worker.store).expect("the topics are listed") {
        let Some((partitions, _)) = view(&worker.store, topic.as_str()).expect("the topic is read")
        else {
            continue;
        };
        for partition in 0..partitions as i32 {
            let tp = tp(topic.as_str(), partition);
            assert!(log_of(&worker.store, &tp).is_ok());
            match worker.append(ledger, &tp, 1, 40) {
                Err(e) if e.kind() == Kind::Offline => {
                    worker
                        .repair(ledger, &tp)
                        .unwrap_or_else(|e| panic!("{what}: repair: {e}"));
                    worker
                        .append(ledger, &tp, 1, 40)
                        .unwrap_or_else(|e| panic!("{what}: after repair: {e}"));
                }
                Err(e) => panic!(
                    "{what}: next append: {:?} {e}\ntrace {:#?}",
                    e.kind(),
                    sim.trace()
                ),
                Ok(()) => {}
            }
        }
    }
}

#[test]
fn an_error_at_every_operation() {
    let _tally = Tally::start();
    for workload in [
        &APPEND,
        &APPEND_ROLLS,
        &NEVER_AND_ROLL,
        &CREATE,
        &ALTER,
        &ADD_PARTITIONS,
        &TRIM,
        &TRIM_NEVER,
        &RETAIN_NONE,
    ] {
        fail_everywhere(workload, Errno::IO);
        fail_everywhere(workload, Errno::NOSPC);
    }
}
