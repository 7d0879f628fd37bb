//! A tool: its name, its options, and its run.

use std::ffi::OsString;

use super::env::Env;
use super::exit::Outcome;
use super::rules::Rule;
use crate::cli::{common, exit};
use crate::error::Result;

/// One of the tools: its arguments, and its run.
pub trait Tool: clap::Parser {
    /// Its name.
    const NAME: &'static str;

    /// The exit status if clap refuses these arguments.
    fn usage_status(_args: &[OsString]) -> u8 {
        exit::USAGE
    }

    /// The rules between its arguments, besides those that clap knows.
    fn rules() -> &'static [Rule] {
        &[]
    }

    /// The options that every tool has.
    fn common(&self) -> &common::Common;

    /// Runs the tool.
    ///
    /// # Errors
    /// The run ended with this error; the exit status follows from its kind.
    fn run(self, env: &mut Env) -> Result<Outcome>;
}

/// Lets the value of every option begin with a dash, as with getopt. Positional arguments may not:
/// a mistyped option would pass for a name there.
pub(crate) fn dashed_values(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let takes_value = !arg.is_positional() && arg.get_action().takes_values();
            if takes_value {
                arg.allow_hyphen_values(true)
            } else {
                arg
            }
        })
        .mut_subcommands(dashed_values)
}
