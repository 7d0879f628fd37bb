//! `mq-broker drain`.

use std::sync::Arc;
use std::time::Duration;

use super::known::known;
use crate::cli::lang::show_duration;
use crate::cli::{Env, Outcome};
use crate::client::StoreDir;
use crate::client::brokers::{self, Liveness};
use crate::client::topics::TopicHandle;
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, TopicPartition};

/// The timeout of the store's lock.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two checks of what the broker still leads.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The pause between two checks whether another broker could lead it: each check opens the topics.
const SUCCESSOR_INTERVAL: Duration = Duration::from_secs(1);
/// The most partitions that an error names.
const NAMED_MAX: usize = 10;

/// Asks the controller, by the broker's registration, to transfer the broker's leaderships.
pub(super) fn drain(id: BrokerId, undo: bool, timeout: Duration, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    known(&store, id)?;
    if undo {
        let changed = brokers::set_drained(&store, id, false, TIMEOUT)?;
        env.note(&if changed {
            format!("broker {id} may lead again")
        } else {
            format!("broker {id} was not drained")
        });
        return Ok(Outcome::Done);
    }
    let liveness = Liveness::new(&store);
    if !liveness.is_alive(id) {
        let text = format!("broker {id} is not running: there is nothing to drain");
        return Err(
            Error::new(Kind::BrokerState, text).cure("'mq-broker list' shows which brokers run")
        );
    }
    if !liveness.controller_lives() {
        let text = format!("there is no live controller to move the leaderships of broker {id}");
        return Err(Error::new(Kind::BrokerState, text)
            .cure("try again in a second; 'mq-broker list' shows which broker is the controller"));
    }
    if !others_may_lead(&store, &liveness, id)? {
        let text = format!(
            "no other broker runs that is not drained: no broker could lead in place of {id}"
        );
        return Err(Error::new(Kind::BrokerState, text).cure(
            "start another, or revert a drain ('mq-broker list' shows which, 'mq-broker drain ID \
             --undo')",
        ));
    }
    brokers::set_drained(&store, id, true, TIMEOUT)?;
    let started = env.monotonic();
    let mut examine_again = started;
    loop {
        let led = brokers::led_by(&store, id)?;
        if led.is_empty() {
            env.note(&format!("broker {id} is drained: it leads nothing"));
            return Ok(Outcome::Done);
        }
        if env.stopping() {
            let text = format!(
                "broker {id} still leads {}",
                TopicPartition::first_of(&led, NAMED_MAX)
            );
            return Err(Error::new(Kind::Interrupted, text).cure(undo_cure(id)));
        }
        let now = env.monotonic();
        let stays = if now >= examine_again {
            examine_again = now + SUCCESSOR_INTERVAL;
            without_successor(&store, &liveness, id, &led)?
        } else {
            Vec::new()
        };
        if stays.len() == led.len() {
            let text = format!(
                "broker {id} still leads {}: no other broker that runs and is not drained has a \
                 replica",
                TopicPartition::first_of(&stays, NAMED_MAX)
            );
            let cure = format!(
                "'mq-broker reassign' gives it other replicas; {}",
                undo_cure(id)
            );
            return Err(Error::new(Kind::BrokerState, text).cure(cure));
        }
        if env.monotonic().saturating_sub(started) >= timeout {
            let text = format!(
                "broker {id} still leads {} after {}",
                TopicPartition::first_of(&led, NAMED_MAX),
                show_duration(timeout)
            );
            let cure = format!(
                "a partition without another in-sync replica on a running, undrained broker cannot \
                 move \
                 ('mq-topics describe'); {}",
                undo_cure(id)
            );
            return Err(Error::new(Kind::Busy, text).cure(cure));
        }
        env.sleep(POLL_INTERVAL);
    }
}

/// Whether another running broker may lead.
fn others_may_lead(store: &Arc<StoreDir>, liveness: &Liveness, id: BrokerId) -> Result<bool> {
    let mut others = store.brokers()?;
    others.retain(|other| *other != id);
    Ok(others
        .into_iter()
        .any(|other| may_lead(store, liveness, other)))
}

fn may_lead(store: &StoreDir, liveness: &Liveness, broker: BrokerId) -> bool {
    // A broker whose registration cannot be read gets no new leaderships.
    liveness.is_alive(broker) && store.broker_file(broker).is_ok_and(|file| !file.drained)
}

/// The partitions that no other broker can lead, however long the wait is.
fn without_successor(
    store: &Arc<StoreDir>,
    liveness: &Liveness,
    id: BrokerId,
    led: &[TopicPartition],
) -> Result<Vec<TopicPartition>> {
    let mut stays = Vec::new();
    for tp in led {
        let topic = match TopicHandle::open(store, &tp.topic) {
            // The topic was deleted meanwhile.
            Err(e) if e.kind() == Kind::UnknownTopic => continue,
            topic => topic?,
        };
        let mut others = topic
            .partition(tp.partition)?
            .replicas
            .iter()
            .filter(|r| r.broker != id);
        if !others.any(|replica| may_lead(store, liveness, replica.broker)) {
            stays.push(tp.clone());
        }
    }
    Ok(stays)
}

fn undo_cure(id: BrokerId) -> String {
    format!("it stays drained: 'mq-broker drain {id} --undo' reverts that")
}
