//! Completion of command lines in bash, zsh and fish. The shell's script calls the tool itself, so
//! the names of topics, groups and brokers are those that the store has now.
//!
//! 1. With `MQ_COMPLETE=SHELL` in its environment, a tool does nothing else: without arguments it
//!    prints the script, with `-- WORDS` the candidates for the cursor. Otherwise this costs only
//!    one look-up of an environment variable.
//! 2. The store is only listed ([`crate::store::Listing`]): no file in it is opened, created or
//!    locked. A failure gives no names, and no message on a line that is being typed.
//! 3. A name becomes part of a command line, so it is quoted for its place, and left out if that is
//!    impossible. zsh and fish quote what they insert.

mod due;
mod line;
mod shells;
mod walk;
mod words;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::Command;

use super::lang::{shown, usage};
use super::stdout::Stdout;
use super::tool::{Tool, dashed_values};
use super::{exit, report};
use due::ValueOffers;
use line::{CommandLine, Native};
pub use shells::Shell;
use shells::{Offer, Reply, render_bash};
use walk::{CursorValue, CursorWord};
use words::WordRole;

/// Names the shell that asks for completion.
pub const VARIABLE: &str = "MQ_COMPLETE";

/// Prints a shell's script, or the candidates for the cursor of its command line.
pub fn main<T: Tool>(shell: &OsStr) -> ExitCode {
    let Some(shell) = shell.to_str().and_then(Shell::parse) else {
        let name = shown(&shell.to_string_lossy());
        let e = usage(
            format!("{VARIABLE} is '{name}', a shell without completions"),
            format!(
                "set {VARIABLE} to bash, zsh or fish, or unset it to run {}",
                T::NAME
            ),
        );
        report::error(T::NAME, &e);
        return ExitCode::from(exit::USAGE);
    };
    let mut words = std::env::args_os().skip(1);
    let text = match words.next() {
        None => shell.script(T::NAME),
        Some(_) => {
            let words: Vec<OsString> = words.collect();
            answer(shell, T::NAME, T::command(), &words)
        }
    };
    match Stdout::default().print(text.as_bytes()) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(e) => {
            report::error(T::NAME, &e);
            ExitCode::from(exit::FAILED)
        }
    }
}

/// The reply to a shell. bash passes its line up to the cursor, and the piece of it that will be
/// replaced; zsh and fish pass the words, without quotes except in fish's last word.
fn answer(shell: Shell, tool: &str, command: Command, words: &[OsString]) -> String {
    let mut words: Vec<String> = words.iter().map(lossy).collect();
    let last = words.pop().unwrap_or_default();
    match shell {
        Shell::Bash => {
            let typed = words::read(&words.pop().unwrap_or_default());
            let reply = match typed.role {
                WordRole::Argument => complete(tool, command, typed.words, &typed.current),
                WordRole::Redirection => Reply {
                    native: Some((Native::File, String::new())),
                    ..Reply::default()
                },
            };
            render_bash(&reply, &typed.raw, &last)
        }
        Shell::Zsh => shell.render(&complete(tool, command, words, &last)),
        Shell::Fish => {
            let (current, _) = words::unquoted(&last);
            shell.render(&complete(tool, command, words, &current))
        }
    }
}

/// A word that is not UTF-8 cannot be completed anyway.
fn lossy(word: &OsString) -> String {
    word.to_string_lossy().into_owned()
}

/// The candidates for the cursor, where `current` is typed after `words`.
fn complete(tool: &str, command: Command, words: Vec<String>, current: &str) -> Reply {
    let Some((_, args)) = words.split_first() else {
        return Reply::default();
    };
    let mut command = dashed_values(command);
    command.build();
    let cursor = CursorWord::of(&command, args, current);
    let line = CommandLine::new(words);
    let mut native = None;
    let mut is_due = false;
    let mut offers = Vec::new();
    for value in &cursor.values {
        let (before, typed) = current.split_at(value.begin);
        match due::values(tool, value.arg, &line, typed) {
            ValueOffers::Native(kind) => {
                native.get_or_insert((kind, before.to_owned()));
                is_due = true;
            }
            ValueOffers::Names(names) => {
                offers.extend(in_place(value, before, names));
                is_due = true;
            }
            ValueOffers::Words(words) => offers.extend(in_place(value, before, words)),
        }
    }
    offers.extend(cursor.names(current));
    // What is more than one line, or cannot be typed literally, is left out.
    let is_typed = |value: &str| value.starts_with(current) && !value.chars().any(char::is_control);
    offers.retain(|offer| is_typed(&offer.value));
    // Where a name is expected, options are not offered, even if there is no name; where no value
    // is expected, only options are left.
    let is_all = !is_due && offers.iter().all(|offer| offer.is_option);
    if !current.starts_with('-') && !is_all {
        offers.retain(|offer| !offer.is_option);
    }
    Reply { offers, native }
}

/// The offers for a value, each with the begin of its word; without those that would be taken for
/// options there: a group's name may begin with a dash.
fn in_place(value: &CursorValue, before: &str, offers: Vec<Offer>) -> impl Iterator<Item = Offer> {
    let is_special = |offer: &Offer| value.is_dash_special && offer.value.starts_with('-');
    let offers = offers.into_iter().filter(move |offer| !is_special(offer));
    offers.map(move |offer| Offer {
        value: format!("{before}{}", offer.value),
        ..offer
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::docs;

    fn offered(tool: &str, words: &[&str], current: &str) -> Vec<String> {
        let command = docs::commands().into_iter().find(|c| c.get_name() == tool);
        let words = [&[tool][..], words].concat();
        let words = words.into_iter().map(str::to_owned).collect();
        let reply = complete("", command.expect("a tool"), words, current);
        reply.offers.into_iter().map(|offer| offer.value).collect()
    }

    #[test]
    fn a_store_may_have_a_subcommands_name() {
        let words = ["--store", "list", "create"];
        let offers = offered("mq-topics", &words, "--if");
        assert_eq!(offers, ["--if-not-exists"]);
        assert_eq!(offered("mq-topics", &["--store", "list"], "al"), ["alter"]);
        assert!(offered("mq-topics", &[], "--st").contains(&"--store".to_owned()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Any incomplete line gets a reply.
        #[test]
        fn no_line_is_too_odd(
            tool in 0..5_usize,
            words in prop::collection::vec(prop::sample::select(vec![
                "list", "create", "alter", "reset", "elect", "help", "--", "-", "--store", "-g", "-c",
                "--config=", "--", "-10", "-p1", "--no-such", "=", "", "é", "-é", "a:b", "--topic",
            ]), 0..6),
            current in prop::sample::select(vec!["", "-", "--", "--s", "-c", "-gé", "a", "é", "--config=é"]),
        ) {
            let names: Vec<String> = docs::commands().iter().map(|c| c.get_name().to_owned()).collect();
            let words = [&["--store", "/dev/null/none"][..], &words].concat();
            for offer in offered(&names[tool], &words, current) {
                prop_assert!(offer.starts_with(current));
            }
        }
    }
}
