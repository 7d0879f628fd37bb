//! `mq-broker stop`.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::known::{known, only_one};
use crate::cli::lang::show_duration;
use crate::cli::{Env, Outcome};
use crate::client::StoreDir;
use crate::client::brokers::{self, Holder, Progress};
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, TopicPartition};

/// Between two looks whether a broker has ended, and how far it is with that.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Between two words on that.
const NOTIFIED_INTERVAL: Duration = Duration::from_secs(5);
/// Most partitions that are named.
const NAMED_MAX: usize = 8;

/// Tells a broker to stop, and waits for its end as long as that comes nearer.
pub(super) fn stop(id: Option<BrokerId>, timeout: Duration, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let id = match id {
        Some(id) => known(&store, id)?,
        None => only_one(&store)?,
    };
    let Some(holder) = brokers::broker_holder(&store, id)? else {
        return Err(
            Error::new(Kind::BrokerState, format!("broker {id} is not running"))
                .cure("'mq-broker status' shows which brokers run"),
        );
    };
    signal(id, &holder)?;
    let started = env.monotonic();
    let (mut observed, mut reported) = (started, started);
    // The least that was left to hand over so far, and since when it is that.
    let mut least: Option<Progress> = None;
    let mut since = started;
    while still_runs(&store, id, holder.incarnation)? {
        if env.stopping() {
            return Err(Error::new(
                Kind::Interrupted,
                format!("broker {id} was asked to stop, and still runs"),
            )
            .cure("'mq-broker status' shows when it has ended"));
        }
        let now = env.monotonic();
        if now.saturating_sub(observed) >= PROGRESS_INTERVAL {
            observed = now;
            let left = brokers::to_hand_over(&store, id);
            if least.is_none_or(|least| nearer(left, least)) {
                (least, since) = (Some(left), now);
            }
            if left.partitions > 0 && now.saturating_sub(reported) >= NOTIFIED_INTERVAL {
                reported = now;
                env.note(&format!(
                    "broker {id} hands its leaders over: {} to go, {} records to be copied",
                    left.partitions, left.records
                ));
            }
        }
        if now.saturating_sub(since) >= timeout {
            return Err(Error::new(
                Kind::Busy,
                format!(
                    "broker {id} (process {}) was asked to stop, still runs, and has made no \
                     progress for {}",
                    holder.pid,
                    show_duration(timeout)
                ),
            )
            .cure("wait longer with --timeout; if it hangs, kill -9 loses nothing acknowledged"));
        }
        env.sleep(POLL_INTERVAL);
    }
    env.note(&format!("broker {id} (process {}) has ended", holder.pid));
    // What nobody else could lead is no news.
    if least.is_some_and(|least| least.partitions > 0)
        && let Ok(led) = brokers::led_by(&store, id)
        && !led.is_empty()
    {
        env.note(&format!(
            "its directory stays the leader of {}",
            TopicPartition::first_of(&led, NAMED_MAX)
        ));
    }
    Ok(Outcome::Done)
}

fn nearer(left: Progress, least: Progress) -> bool {
    (left.partitions, left.records) < (least.partitions, least.records)
}

fn signal(id: BrokerId, holder: &Holder) -> Result<()> {
    let pid = i32::try_from(holder.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| {
            Error::new(Kind::Damaged, format!("{} is no process id", holder.pid))
                .cure("look with 'mq-broker locks'; end that process by hand")
        })?;
    let process = holder.pid;
    kill_process(pid, Signal::TERM).map_err(|e| {
        let error = Error::io("signal", format!("process {process} of broker {id}"), e.into());
        if e == Errno::PERM {
            return error.cure(format!(
                "it is another user's ('ps -o user= -p {process}' says whose): stop it as that user, \
                 or as root"
            ));
        }
        error
    })
}

/// Whether that incarnation has not ended: a service manager may have started the next by now.
fn still_runs(store: &Arc<StoreDir>, id: BrokerId, incarnation: u64) -> Result<bool> {
    match brokers::broker_holder(store, id) {
        Ok(holder) => Ok(holder.is_some_and(|holder| holder.incarnation == incarnation)),
        // The next one is just starting.
        Err(e) if e.kind() == Kind::Busy => Ok(false),
        Err(e) => Err(e),
    }
}
