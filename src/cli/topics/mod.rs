//! `mq-topics`: topics made, listed, described, changed, verified, deleted.

mod args;
mod job;
mod run;

pub use args::Args;
