//! `mq-produce`: from standard input or files into a topic.

mod args;
mod echo;
mod input;
mod job;
mod lines;
mod onlooker;
mod parsed;
mod plain;
mod run;

pub use args::Args;
