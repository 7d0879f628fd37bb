//! `mq-broker list`.

use crate::cli::output::{Column, OutputOptions, RowPrinter};
use crate::cli::{Env, Outcome};
use crate::client::brokers::{self, BrokerStatus};
use crate::error::Result;

/// The first columns of `list` and of `status`, in the same order.
const COLUMNS: &[Column] = &[
    Column::number("broker"),
    Column::text("state"),
    Column::number("pid"),
    Column::number("incarnation").short("starts").minor(),
    Column::text("rack"),
    Column::text("log_dir"),
    Column::text("controller"),
    Column::number("leaders"),
    Column::number("replicas"),
];

/// The word for a broker's state.
pub(super) fn state(status: &BrokerStatus) -> &'static str {
    match (&status.running, status.drained) {
        (Some(_), false) => "running",
        (Some(_), true) => "drained",
        (None, _) => "stopped",
    }
}

pub(super) fn list(output: OutputOptions, env: &Env) -> Result<Outcome> {
    let store = env.open_store()?;
    let shares = brokers::shares(&store)?;
    let mut listing = RowPrinter::stdout(env, COLUMNS, output);
    for id in store.brokers()? {
        let status = brokers::broker_status(&store, id)?;
        let share = shares.get(&id).copied().unwrap_or_default();
        listing.row(vec![
            id.into(),
            state(&status).into(),
            status.running.map(|holder| holder.pid).into(),
            status.incarnation.into(),
            status.rack.into(),
            status.log_dir.display().to_string().into(),
            status.controller.is_some().into(),
            share.leaders.into(),
            share.replicas.into(),
        ])?;
    }
    listing.finish()?;
    Ok(Outcome::Done)
}
