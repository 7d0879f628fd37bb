//! The command line: arguments, formats, tables, progress, exit codes. Only this module prints,
//! reads the environment, and ends the process.

mod argument_relations;
pub mod broker;
mod check_status;
pub mod common;
mod complete;
mod configs;
pub mod consent;
pub mod consume;
pub mod docs;
mod env;
pub mod exit;
mod failures;
mod foreign_flags;
mod getopt_equals;
pub mod groups;
mod help_json;
pub mod lang;
pub mod output;
pub mod pattern;
pub mod produce;
mod progress;
mod report;
mod rules;
mod signals;
pub mod stdout;
mod store_presence;
mod tool;
mod topic_selection;
pub mod topics;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use tool::{Tool, dashed_values};

pub use env::{Color, Env, local_zone};
pub use exit::Outcome;
pub use failures::Failures;
pub use signals::Signals;

use crate::error::{Error, Kind, Result};
pub(crate) use rules::Rule;
use stdout::Stdout;

/// Runs a tool: from the command line to the exit status.
pub fn main<T: Tool>() -> ExitCode {
    if let Some(shell) = std::env::var_os(complete::VARIABLE).filter(|shell| !shell.is_empty()) {
        return complete::main::<T>(&shell);
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(json) = help_json::asked(T::command, T::rules(), &words) {
        return helped::<T>(json.and_then(|json| Stdout::default().print(&json)));
    }
    let args = match parse::<T>(words.iter().cloned()) {
        Ok(args) => args,
        // --help and --version come here too.
        Err(e) if !e.use_stderr() => return helped::<T>(report::help(&e)),
        Err(e) => {
            report::usage(&T::command(), &e, &words);
            return ExitCode::from(T::usage_status(&words));
        }
    };
    raise_file_limit();
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(e) => {
            report::error(T::NAME, &Error::io("take over", "signals", e));
            return ExitCode::from(exit::FAILED);
        }
    };
    let common = args.common().clone();
    let mut env = Env::new(T::NAME, common.store, common.quiet, common.color, signals);
    let outcome = args.run(&mut env);
    env.progress_done();
    env.notify_cuts();
    let status = match &outcome {
        Ok(outcome) => exit::outcome(*outcome),
        // The reader of the output went away, and needs no more.
        Err(e) if is_closed_pipe(e) => exit::DONE,
        Err(e) => {
            env.complain(e);
            exit::status(e.kind())
        }
    };
    // A usage error is one that was found before the store was read.
    let checked = matches!(outcome, Ok(Outcome::Check(_)));
    let status = if status == exit::USAGE && env.has_observed() && !checked {
        exit::FAILED
    } else {
        status
    };
    let clean = !checked && (status == exit::DONE || status == exit::EMPTY);
    // A broker that was stopped did its work; an interrupted tool did not.
    let cut_short = matches!(&outcome, Err(e) if e.kind() == Kind::Interrupted);
    if let Some(signal) = env.signals().stopping()
        && (cut_short || clean && T::NAME != "mq-broker")
    {
        Signals::die(signal);
    }
    ExitCode::from(status)
}

/// Ends a run that printed help; the reader may have gone away, and needs no more.
fn helped<T: Tool>(printed: Result<()>) -> ExitCode {
    match printed {
        Err(e) if !is_closed_pipe(&e) => {
            report::error(T::NAME, &e);
            ExitCode::from(exit::FAILED)
        }
        _ => ExitCode::from(exit::DONE),
    }
}

/// Parses a command line, the tool's name first.
///
/// # Errors
/// Whatever clap or a rule of the tool refuses; `--help` and `--version` too.
fn parse<T: Tool>(words: impl IntoIterator<Item = OsString>) -> Result<T, clap::Error> {
    let mut command = dashed_values(T::command());
    let words = getopt_equals::kept(&command, words.into_iter().collect());
    let mut matches = command.try_get_matches_from_mut(words)?;
    rules::check(&mut command, &matches, T::rules())?;
    T::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut command))
}

/// Only writes to pipes fail in this way, not those to files and terminals.
fn is_closed_pipe(e: &Error) -> bool {
    e.io_source()
        .is_some_and(|source| source.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Raises the limit of open files to what the user may have: a partition takes about ten.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If this fails, an error will name the limit once it is reached.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_takes_a_dash_and_no_name_does() {
        fn observe(command: &clap::Command, seen: &mut usize) {
            for arg in command.get_arguments() {
                let takes_value = !arg.is_positional() && arg.get_action().takes_values();
                *seen += usize::from(takes_value);
                assert_eq!(
                    arg.is_allow_hyphen_values_set(),
                    takes_value,
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
            for sub in command.get_subcommands() {
                observe(sub, seen);
            }
        }
        let mut seen = 0;
        for command in docs::commands() {
            observe(&dashed_values(command), &mut seen);
        }
        assert!(seen > 50, "{seen}");
    }
}
