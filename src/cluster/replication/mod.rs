//! The threads that copy the partitions that a broker follows.

pub mod fetcher;
mod partition_fetch;

pub use fetcher::Fetchers;
pub(crate) use fetcher::FollowedReplicas;
