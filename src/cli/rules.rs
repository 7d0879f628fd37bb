//! Rules between the arguments of a command, where clap's own messages would not do: which
//! arguments one requires, and which it conflicts with. Each tool has one table of rules; its
//! command lines are checked by the table, and `--help-json` prints it.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::lang::usage;
use crate::error::Error;

/// A rule, and the message if it is broken.
#[derive(Debug)]
pub struct Rule {
    /// The command; empty: each command that has these arguments.
    pub command: &'static str,
    /// The id of the argument that the rule is about.
    pub arg: &'static str,
    /// The rule.
    pub how: How,
    /// What is wrong.
    pub what: &'static str,
    /// What to do.
    pub cure: &'static str,
}

/// The rule for an argument; other arguments are given by their ids.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// It requires one of these.
    Needs(&'static [&'static str]),
    /// It conflicts with each of these.
    Refuses(&'static [&'static str]),
    /// As [`How::Refuses`], but only the tool itself can tell which of them was meant.
    RefusesAsRead(&'static [&'static str]),
}

/// The rules of every tool.
pub const COMMON: [Rule; 1] = [Rule {
    command: "",
    arg: "header",
    how: How::Needs(&["format"]),
    what: "--header is for tsv only: a table always has its header",
    cure: "leave --header out, or add --format tsv",
}];

impl Rule {
    /// The error, where the tool itself finds the rule broken.
    pub fn refusal(&self) -> Error {
        usage(self.what, self.cure)
    }

    /// Whether the rule applies to this command.
    pub fn is_of(&self, command: &Command) -> bool {
        let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
        let (How::Needs(others) | How::Refuses(others) | How::RefusesAsRead(others)) = self.how;
        (self.command.is_empty() || self.command == command.get_name())
            && has(self.arg)
            && others.iter().any(|id| has(id))
    }
}

/// Checks the given arguments against the rules of the called command.
///
/// # Errors
/// In clap's form, so that it is printed like clap's own errors.
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

    /// A rule with a mistyped id would apply to no command.
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
