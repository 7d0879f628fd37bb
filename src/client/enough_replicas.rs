//! Whether an append with acks=all can be acknowledged, before anything is appended.

use crate::cluster::Liveness;
use crate::error::{Error, Kind, Result};
use crate::store::PartitionWriter;

/// NOT_ENOUGH_REPLICAS, before anything is appended.
pub(super) fn check_replicas(writer: &mut PartitionWriter, liveness: &Liveness) -> Result<()> {
    writer.look()?;
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
    let (tp, all) = (writer.tp(), partition.isr.len());
    let text = if live < least {
        let replicas = if live == 1 { "replica" } else { "replicas" };
        format!(
            "NOT_ENOUGH_REPLICAS: {tp} has {live} live {replicas} in sync, \
             min.insync.replicas={least} asks for more"
        )
    } else {
        format!(
            "NOT_ENOUGH_REPLICAS: of the {all} replicas of {tp} that are in sync, those on \
             broker {} are not running, and no controller lives to take them out",
            dead.join(", ")
        )
    };
    let start = partition
        .replicas
        .iter()
        .map(|replica| replica.broker)
        .filter(|broker| !partition.isr.contains(broker) || dead.contains(&broker.to_string()))
        .map(|broker| format!("'mq-broker start --id {broker}'"))
        .collect::<Vec<_>>()
        .join(", ");
    let cure = if start.is_empty() {
        format!(
            "lower min.insync.replicas with 'mq-topics alter {}', or use --acks 1: readers see it once enough have it",
            tp.topic
        )
    } else {
        format!(
            "start what is missing ({start}), or use --acks 1: readers see it once enough have it"
        )
    };
    Err(Error::new(Kind::Busy, text).cure(cure))
}
