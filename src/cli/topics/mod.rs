//! `mq-topics`: topics made, listed, described, changed, verified, deleted.

mod args;
mod args_create;
mod args_plan;
mod change;
mod dump;
mod job;
mod run;
mod show;
mod verify;

pub use args::Args;
