//! The five tools as a person or a script meets them: words, errors, help, completion, recipes, and
//! input that is meant to do harm.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod completion;
mod docs;
mod errors;
mod exec;
mod help_json;
mod hostile;
mod man;
mod recipes;
mod shell;

use common::{cli, snapshot, tally};
