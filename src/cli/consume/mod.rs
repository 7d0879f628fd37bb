//! `mq-consume`: from topics to standard output.

mod args;
mod assign;
mod command;
mod dead_letters;
mod exec;
mod filter;
mod group_run;
mod job;
mod marks;
mod missed;
mod output;
mod print;
mod reading;
mod run;
mod tail;

pub use args::Args;
