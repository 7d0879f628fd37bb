//! Finds the broker that is meant.

use std::sync::Arc;

use crate::client::brokers;

use crate::client::StoreDir;
use crate::error::{Error, Kind, Result};
use crate::types::BrokerId;

/// The only registered or running broker.
///
/// # Errors
/// [`Kind::BrokerState`] if there are several, or none runs.
pub(super) fn only_one(store: &Arc<StoreDir>) -> Result<BrokerId> {
    let there = store.brokers()?;
    if let [id] = there[..] {
        return Ok(id);
    }
    let mut running = Vec::new();
    for id in there {
        if brokers::broker_holder(store, id)?.is_some() {
            running.push(id);
        }
    }
    match running[..] {
        [id] => Ok(id),
        [] => Err(Error::new(Kind::BrokerState, "no broker is running")
            .cure("'mq-broker status' shows the brokers")),
        _ => {
            let names: Vec<_> = running.iter().map(BrokerId::to_string).collect();
            let text = format!("several brokers are running: {}", names.join(", "));
            Err(Error::new(Kind::BrokerState, text).cure("say which: mq-broker stop ID"))
        }
    }
}

/// Checks that a broker is registered.
///
/// # Errors
/// [`Kind::BrokerState`], with the registered brokers.
pub(super) fn known(store: &StoreDir, id: BrokerId) -> Result<BrokerId> {
    let there = store.brokers()?;
    if there.contains(&id) {
        return Ok(id);
    }
    let names: Vec<_> = there.iter().map(BrokerId::to_string).collect();
    Err(
        Error::new(Kind::BrokerState, format!("there is no broker {id}")).cure(format!(
            "'mq-broker list' shows the brokers: {}",
            names.join(", ")
        )),
    )
}
