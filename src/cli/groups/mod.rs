//! `mq-groups`: lists, watches, describes, moves and deletes consumer groups, and waits for them.

mod alter;
mod args;
mod args_alter;
mod args_changes;
mod args_reset;
mod args_show;
mod args_wait;
mod asked;
mod changes;
mod check;
mod csv;
mod job;
mod lag;
mod lag_changes;
mod offsets;
mod peek;
mod run;
mod screen;
mod show;
mod wait;
mod watch;

pub use super::check_status::Status;
pub use args::Args;
