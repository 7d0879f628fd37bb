//! The lifecycle of topics and replicas: topics are created, altered and deleted; replicas are
//! made, replaced, reassigned and removed.
//!
//! Invariant: a replica directory is removed only by proof that nothing needs it. One without proof
//! is a stray, kept and reported.

mod made_replica;
pub mod maker;
mod new_replica;
mod occupied_place;
mod plan;
mod reassign;
mod removal;
mod replace;
mod segment_reuse;
mod strays;
mod topics;

pub use new_replica::{discard, make_replica, unknown_broker};
pub use reassign::{cancel_reassignment, start_reassignment, under_way};
pub use removal::{Remover, is_replica_there};
pub use replace::{replace_replica, replace_replicas};
pub use strays::{Stray, strays};
pub use topics::{
    NewTopic, add_partitions, alter_configs, check_assignment, check_partitions, create_topic,
    delete_topic, set_topic_aside,
};
