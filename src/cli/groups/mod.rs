//! `mq-groups`: consumer groups listed, watched, described, moved, deleted.

mod alter;
mod args;
mod args_alter;
mod args_changes;
mod args_look;
mod args_reset;
mod changes;
mod check;
mod csv;
mod job;
mod offsets;
mod peek;
mod run;
mod screen;
mod show;
mod watch;

pub use args::Args;
pub use check::Status;
