//! `mq-groups`: consumer groups listed, described, moved, deleted.

mod args;
mod job;
mod run;

pub use args::Args;
