//! The lifecycle of topics and replicas: topics are created, altered and deleted; replicas are
//! made, replaced, reassigned and removed.
//!
//! Invariant: a replica directory is removed only by proof that nothing needs it. One without proof
//! is a stray, kept and reported.

pub mod maker_lock;
mod occupied_place;
mod planned_replica;
mod reassign;
mod removal;
mod replace;
mod replica_creation;
mod segment_reuse;
mod strays;
mod topics;
mod unpublished_replica;

pub use reassign::{cancel_reassignment, start_reassignment, under_way};
pub use removal::{Remover, is_replica_there};
pub use replace::{replace_replica, replace_replicas};
pub use replica_creation::{discard, make_replica, unknown_broker};
pub use strays::{Stray, strays};
pub use topics::{
    NewTopic, add_partitions, alter_configs, check_assignment, check_partitions, create_topic,
    delete_topic, set_topic_aside,
};
