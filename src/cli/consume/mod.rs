//! `mq-consume`: from topics to standard output.

mod args;
mod assign;
mod job;
mod marks;
mod output;
mod print;
mod run;
mod session;

pub use args::Args;
