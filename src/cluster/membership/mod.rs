//! Which brokers exist: registration, liveness, status, and how a broker leaves the store.

mod broker_heartbeat;
mod broker_options;
mod candidates;
mod live_brokers;
mod new_broker;
mod registration;
mod status;
mod unregister;

pub use broker_options::BrokerOptions;
pub use candidates::candidates;
pub use live_brokers::{BrokerMembership, ObservedBroker, Settle};
pub use registration::{Registration, set_drained};
pub use status::{BrokerStatus, broker_holder, broker_status, led_by, shares};
pub use unregister::unregister;
