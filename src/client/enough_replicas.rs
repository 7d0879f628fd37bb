//! Whether an append with acks=all can be acknowledged, before anything is appended.

use crate::error::{Error, Kind, Result};
use crate::partition::PartitionWriter;
use crate::store::Liveness;

/// NOT_ENOUGH_REPLICAS, before anything is appended.
pub(super) fn check_replicas(writer: &mut PartitionWriter, liveness: &Liveness) -> Result<()> {
    writer.observe()?;
    let least = writer.configs().min_insync_replicas;
    let partition = writer.topic().partition(writer.tp().partition)?;
    if partition.isr.len() == 1 && least == 1 {
        return Ok(());
    }
    let mut dead = Vec::new();
    for broker in &partition.isr {
        if *broker != partition.leader && !liveness.is_alive(*broker) {
            dead.push(broker.to_string());
        }
    }
    let live = partition.isr.len() - dead.len();
    if live >= least && (dead.is_empty() || liveness.controller_lives()) {
        return Ok(());
    }
    let tp = writer.tp();
    let mut down: Vec<_> = partition
        .replicas
        .iter()
        .map(|replica| replica.broker)
        .filter(|broker| !liveness.is_alive(*broker))
        .collect();
    let none_runs = down.len() == partition.replicas.len();
    let text = if none_runs {
        format!(
            "NOT_ENOUGH_REPLICAS: no broker runs that has a replica of {tp}, and \
             min.insync.replicas={least} asks for more than the leader's log"
        )
    } else if live < least {
        let replicas = if live == 1 { "replica" } else { "replicas" };
        format!(
            "NOT_ENOUGH_REPLICAS: {tp} has {live} live {replicas} in sync, \
             min.insync.replicas={least} asks for more"
        )
    } else {
        format!(
            "NOT_ENOUGH_REPLICAS: of the {} replicas of {tp} that are in sync, those on \
             broker {} are not running, and no controller runs to take them out",
            partition.isr.len(),
            dead.join(", ")
        )
    };
    let later = "use --acks 1: readers see it once enough have it";
    down.sort_unstable();
    let starts: Vec<_> = down
        .iter()
        .map(|broker| format!("'mq-broker start --id {broker}'"))
        .collect();
    let cure = if !starts.is_empty() {
        format!("start what is missing ({}), or {later}", starts.join(", "))
    } else if partition.isr.len() < partition.replicas.len() {
        format!("wait until the others are in sync ('mq-broker health --wait'), or {later}")
    } else {
        format!(
            "lower min.insync.replicas with 'mq-topics alter {}', or {later}",
            tp.topic
        )
    };
    Err(Error::new(Kind::Busy, text).cure(cure))
}
