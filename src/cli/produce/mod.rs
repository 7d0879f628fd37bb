//! `mq-produce`: from standard input or files into a topic.

mod args;
mod echo;
mod ending;
mod failed;
mod hints;
mod input;
mod job;
mod lines;
mod observer;
mod opening;
mod parsed;
mod plain;
mod run;
mod topics;

pub use args::Args;
