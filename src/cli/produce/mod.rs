//! `mq-produce`: from standard input or files into a topic.

mod args;
mod echo;
mod input;
mod job;
mod onlooker;
mod run;

pub use args::Args;
