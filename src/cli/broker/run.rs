//! Runs `mq-broker`.

use std::time::Duration;

use super::job::BrokerJob;
use super::known::known;
use super::{drain, elect, health, init, list, reassign, stop};
use crate::cli::output::{Cell, Column, OutputOptions, RowPrinter, local_time};
use crate::cli::{Env, Outcome, local_zone, store_presence};
use crate::client::brokers::{self, BrokerOptions, Daemon, Notice, StopRequest};
use crate::disk::OsDisk;
use crate::error::{Error, Result};
use crate::types::BrokerId;

/// The timeout of the store's lock.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the job.
///
/// # Errors
/// The run ended with this error.
pub fn run(job: BrokerJob, env: &mut Env) -> Result<Outcome> {
    if matches!(
        job,
        BrokerJob::Status(_) | BrokerJob::List(_) | BrokerJob::Locks(_) | BrokerJob::Health(_)
    ) {
        env.signals().end_by_first(true);
    }
    match job {
        BrokerJob::Start { id, options } => start(id, options, env),
        BrokerJob::Init(job) => init::init(job, env),
        BrokerJob::Status(output) => status(output, env),
        BrokerJob::List(output) => list::list(output, env),
        BrokerJob::Drain { id, undo, timeout } => drain::drain(id, undo, timeout, env),
        BrokerJob::Stop { id, timeout } => stop::stop(id, timeout, env),
        BrokerJob::Locks(output) => locks(output, env),
        BrokerJob::Unregister(id) => unregister(id, env),
        BrokerJob::Reassign(job) => reassign::reassign(job, env),
        BrokerJob::Elect(job) => elect::elect(job, env),
        BrokerJob::Health(job) => health::health(job, env),
    }
}

fn start(id: BrokerId, mut options: BrokerOptions, env: &Env) -> Result<Outcome> {
    if let Some(path) = options.log_dir.take() {
        // Other processes that read the registration run in other directories.
        let absolute = std::path::absolute(&path).map_err(|e| Error::io("find", path, e))?;
        options.log_dir = Some(absolute);
    }
    let tried = match &options.log_dir {
        Some(place) if !env.is_store_there()? => {
            Some(brokers::try_place(&OsDisk, &env.store_path()?, id, place)?)
        }
        _ => None,
    };
    let store = env.open_or_create_store()?;
    if let Some(tried) = tried {
        tried.keep();
    }
    let path = store.path().display().to_string();
    let daemon = Daemon::start(&store, id, &options)?;
    for warning in daemon.warnings() {
        env.warn(warning);
    }
    for note in daemon.notes() {
        env.note(note);
    }
    let asked = || env.stopping();
    let stop = StopRequest {
        asked: &asked,
        wake: env.wake_fd(),
    };
    let mut stdout = env.stdout();
    let mut ready = |ready: brokers::Ready| {
        let role = match ready.controller_epoch {
            Some(epoch) => format!("controller, epoch {epoch}"),
            None => "standby".to_owned(),
        };
        let line = format!(
            "mq-broker {} ready: {role}, store {path}\n",
            ready.broker_id
        );
        stdout.print(line.as_bytes())
    };
    let zone = local_zone();
    let mut notify = |reported| {
        let time = local_time(env.now_ms(), &zone);
        match reported {
            Notice::Note(text) => env.note(&format!("{time} {text}")),
            Notice::Problem(error) => {
                let cure = error
                    .cure_text()
                    .map(|cure| format!(" ({cure})"))
                    .unwrap_or_default();
                env.say(&format!("{time} warning: {error}{cure}"));
            }
        }
    };
    daemon
        .run(&stop, &mut ready, &mut notify)
        .map_err(|e| store_presence::daemon_unless_gone(e, &store, store.path(), env))?;
    Ok(Outcome::Done)
}

/// The first columns of `list` and of `status`, in the same order.
const STATUS_COLUMNS: &[Column] = &[
    Column::number("broker"),
    Column::text("state"),
    Column::number("pid"),
    Column::number("incarnation").short("starts").minor(),
    Column::text("rack"),
    Column::text("log_dir"),
    Column::text("controller"),
    Column::number("controller_epoch").short("epoch").minor(),
    Column::time("since").minor(),
    Column::number("strays").minor(),
];

fn status(output: OutputOptions, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let mut runs = false;
    let mut listing = RowPrinter::stdout(env, STATUS_COLUMNS, output);
    for id in store.brokers()? {
        let status = brokers::broker_status(&store, id)?;
        let running = status.running.as_ref();
        runs |= running.is_some();
        listing.row(vec![
            status.broker_id.into(),
            list::state(&status).into(),
            running.map(|holder| holder.pid).into(),
            status.incarnation.into(),
            status.rack.into(),
            status.log_dir.display().to_string().into(),
            status.controller.is_some().into(),
            status.controller.map(|controller| controller.epoch).into(),
            running.map(|holder| holder.started_ms).into(),
            status.strays.map(|count| count as u64).into(),
        ])?;
    }
    listing.finish()?;
    // As with a service manager's `status`: 1 if no broker runs.
    Ok(if runs {
        Outcome::Done
    } else {
        Outcome::Partial
    })
}

fn unregister(id: BrokerId, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    known(&store, id)?;
    let left = brokers::unregister(&store, id, TIMEOUT)?;
    env.note(&match left {
        Some(place) => format!("broker {id} is unregistered; {} stays", place.display()),
        None => format!("broker {id} is unregistered"),
    });
    Ok(Outcome::Done)
}

const LOCK_COLUMNS: &[Column] = &[
    Column::text("lock"),
    Column::text("of"),
    Column::text("pids"),
    Column::text("host"),
    Column::text("purpose"),
    Column::text("path"),
];

fn locks(output: OutputOptions, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let mut listing = RowPrinter::stdout(env, LOCK_COLUMNS, output);
    for row in brokers::held_locks(&store)? {
        listing.row(vec![
            row.kind.as_str().into(),
            (!row.of.is_empty()).then_some(row.of).into(),
            Cell::list(row.pids),
            row.host.into(),
            row.purpose.into(),
            row.path.into(),
        ])?;
    }
    listing.finish()?;
    Ok(Outcome::Done)
}
