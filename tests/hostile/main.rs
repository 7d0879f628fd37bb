//! No hostile byte gets further than an error: names, links, lengths, bombs, escapes, JSON.

#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/tally.rs"]
mod tally;

mod batches;
mod names;
mod places;
mod text;
