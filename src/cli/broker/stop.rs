//! `mq-broker stop`.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::known::{known, only_one};
use crate::cli::lang::show_duration;
use crate::cli::{Env, Outcome};
use crate::client::StoreDir;
use crate::client::brokers::{self, Holder, TransferProgress};
use crate::error::{Error, Kind, Result};
use crate::types::{BrokerId, TopicPartition};

/// The pause between two checks of a stopping broker and its progress.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The pause between two notes on the progress.
const NOTIFIED_INTERVAL: Duration = Duration::from_secs(5);
/// The most partitions that a note names.
const NAMED_MAX: usize = 8;

/// Asks a broker to stop, and waits for its end as long as it makes progress.
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
    // The lowest number of leaderships left so far, and since when.
    let mut least: Option<TransferProgress> = None;
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
            let left = brokers::shutdown_progress(&store, id);
            if least.is_none_or(|least| nearer(left, least)) {
                (least, since) = (Some(left), now);
            }
            if left.partitions > 0 && now.saturating_sub(reported) >= NOTIFIED_INTERVAL {
                reported = now;
                env.note(&format!(
                    "broker {id} transfers its leaderships: {} left, {} records to copy",
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
    // Partitions that no other broker can lead are not reported again.
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

fn nearer(left: TransferProgress, least: TransferProgress) -> bool {
    (left.partitions, left.records) < (least.partitions, least.records)
}

fn signal(id: BrokerId, holder: &Holder) -> Result<()> {
    let pid = i32::try_from(holder.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| {
            Error::new(Kind::Damaged, format!("{} is no process id", holder.pid))
                .cure("'mq-broker locks' shows that process; end it by hand")
        })?;
    let process = holder.pid;
    kill_process(pid, Signal::TERM).map_err(|e| {
        let error = Error::io("signal", format!("process {process} of broker {id}"), e.into());
        if e == Errno::PERM {
            return error.cure(format!(
                "it is another user's ('ps -o user= -p {process}' names the user): stop it as that user, \
                 or as root"
            ));
        }
        error
    })
}

/// Whether this incarnation still runs: a service manager may have started the next one by now.
fn still_runs(store: &Arc<StoreDir>, id: BrokerId, incarnation: u64) -> Result<bool> {
    match brokers::broker_holder(store, id) {
        Ok(holder) => Ok(holder.is_some_and(|holder| holder.incarnation == incarnation)),
        // The next incarnation is just starting.
        Err(e) if e.kind() == Kind::Busy => Ok(false),
        Err(e) => Err(e),
    }
}
