//! `mq-groups`: consumer groups listed, described, moved, deleted.

mod args;
mod job;
mod offsets;
mod run;
mod show;

pub use args::Args;
