//! `mq-broker drain`.

use std::time::Duration;

use super::run::known;
use crate::cli::{Env, Outcome};
use crate::cluster::{self, Liveness};
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, TopicPartition};

/// How long the store's lock is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what the broker still leads.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Partitions that an error names.
const NAMED_MAX: usize = 10;

/// Asks the controller, by the broker's registration, to move what the broker leads.
pub(super) fn drain(id: BrokerId, undo: bool, timeout: Duration, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    known(&store, id)?;
    if undo {
        let changed = cluster::set_drained(&store, id, false, PATIENCE)?;
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
        return Err(Error::new(Kind::BrokerState, text).cure("'mq-broker list' shows what is"));
    }
    if !liveness.controller_lives() {
        let text = format!("no controller lives that could move what broker {id} leads");
        return Err(Error::new(Kind::BrokerState, text)
            .cure("try again in a second; 'mq-broker list' shows who is the controller"));
    }
    cluster::set_drained(&store, id, true, PATIENCE)?;
    let started = env.monotonic();
    loop {
        let led = cluster::led_by(&store, id)?;
        if led.is_empty() {
            env.note(&format!("broker {id} leads nothing"));
            return Ok(Outcome::Done);
        }
        if env.stopping() {
            let text = format!("broker {id} still leads {}", names(&led));
            return Err(Error::new(Kind::Interrupted, text).cure(undo_cure(id)));
        }
        if env.monotonic().saturating_sub(started) >= timeout {
            let text = format!(
                "broker {id} still leads {} after {} ms",
                names(&led),
                timeout.as_millis()
            );
            let cure = format!(
                "what has no other replica in sync, on a broker that runs and is not drained, cannot move \
                 ('mq-topics describe'); {}",
                undo_cure(id)
            );
            return Err(Error::new(Kind::Busy, text).cure(cure));
        }
        env.sleep(LOOK_INTERVAL);
    }
}

fn undo_cure(id: BrokerId) -> String {
    format!("it stays drained: 'mq-broker drain {id} --undo' takes that back")
}

fn names(led: &[TopicPartition]) -> String {
    let mut names: Vec<_> = led
        .iter()
        .take(NAMED_MAX)
        .map(TopicPartition::to_string)
        .collect();
    if let Some(more) = led.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}
