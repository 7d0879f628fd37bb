//! The threads that copy what a broker follows.

pub mod fetcher;
mod partition_fetch;

pub use fetcher::Fetchers;
pub(crate) use fetcher::Followed;
