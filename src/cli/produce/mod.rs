//! `mq-produce`: from standard input or files into a topic.

mod args;
mod echo;
mod input;
mod job;
mod run;

pub use args::Args;
