//! Rules between the arguments of a command for which clap's own words would not do: what one of them
//! needs beside it, and what it cannot stand beside. One table of each tool is what its command lines
//! are checked by, and what `--help-json` tells.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::lang::usage;
use crate::error::Error;

/// A rule, and what is said where it is broken.
#[derive(Debug)]
pub struct Rule {
    /// The command that it is of; empty: of each that has these arguments.
    pub command: &'static str,
    /// The id of the argument that it is about.
    pub arg: &'static str,
    /// What holds for it.
    pub how: How,
    /// What is wrong.
    pub what: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

/// What holds for an argument; others are named by their ids.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// It needs one of these beside it.
    Needs(&'static [&'static str]),
    /// None of these may stand beside it.
    Refuses(&'static [&'static str]),
    /// As [`How::Refuses`], but only the tool itself can say which of them was meant.
    RefusesAsRead(&'static [&'static str]),
}

/// Those that every tool has.
pub const COMMON: [Rule; 1] = [Rule {
    command: "",
    arg: "header",
    how: How::Needs(&["format"]),
    what: "--header is for tsv only: a table always has its header",
    cure: "leave --header out, or add --format tsv",
}];

impl Rule {
    /// The error where the tool itself finds it broken.
    pub fn refusal(&self) -> Error {
        usage(self.what, self.cure)
    }

    /// Whether it is one of this command's.
    pub fn is_of(&self, command: &Command) -> bool {
        let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
        let (How::Needs(others) | How::Refuses(others) | How::RefusesAsRead(others)) = self.how;
        (self.command.is_empty() || self.command == command.get_name())
            && has(self.arg)
            && others.iter().any(|id| has(id))
    }
}

/// Checks what was given against the rules of the command that was called.
///
/// # Errors
/// In clap's form, so that it is told as what clap refuses.
pub fn check(
    command: &mut Command,
    given: &ArgMatches,
    rules: &'static [Rule],
) -> Result<(), clap::Error> {
    if let Some((name, given)) = given.subcommand()
        && let Some(called) = command.find_subcommand_mut(name)
    {
        return check(called, given, rules);
    }
    let is_given = |id: &&str| {
        let is_known = given.try_contains_id(id).is_ok();
        is_known && given.value_source(id) == Some(ValueSource::CommandLine)
    };
    let is_broken = |rule: &&Rule| {
        let of_it = is_given(&rule.arg) && rule.is_of(command);
        of_it
            && match rule.how {
                How::Needs(others) => !others.iter().any(&is_given),
                How::Refuses(others) => others.iter().any(&is_given),
                How::RefusesAsRead(_) => false,
            }
    };
    let Some(broken) = rules.iter().chain(&COMMON).find(is_broken) else {
        return Ok(());
    };
    let kind = match broken.how {
        How::Needs(_) => ErrorKind::MissingRequiredArgument,
        How::Refuses(_) | How::RefusesAsRead(_) => ErrorKind::ArgumentConflict,
    };
    let reported = format!("{}\n\n  tip: {}", broken.what, broken.cure);
    Err(command.error(kind, reported))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::docs;

    /// A mistyped id would be a rule of no command.
    #[test]
    fn each_rule_names_arguments_that_are_there() {
        fn ids(command: &Command, named: &str, found: &mut Vec<String>) {
            if named.is_empty() || named == command.get_name() {
                found.extend(command.get_arguments().map(|arg| arg.get_id().to_string()));
            }
            for sub in command.get_subcommands() {
                ids(sub, named, found);
            }
        }
        for (command, rules) in docs::commands_with_rules() {
            for rule in rules {
                let mut found = Vec::new();
                ids(&command, rule.command, &mut found);
                let (How::Needs(others) | How::Refuses(others) | How::RefusesAsRead(others)) =
                    rule.how;
                for id in others.iter().chain([&rule.arg]) {
                    assert!(found.iter().any(|one| one == id), "{rule:?}: {id}");
                }
            }
        }
    }
}
