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
mod words;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Command;
use clap_complete::engine::{self, CompletionCandidate};

use super::lang::{shown, usage};
use super::stdout::Stdout;
use super::tool::{Tool, dashed_values};
use super::{exit, report};
use line::{Line, Native};
pub use shells::Shell;
use shells::{Offer, Reply, render_bash};
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
fn answer(shell: Shell, tool: &'static str, command: Command, words: &[OsString]) -> String {
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
fn complete(tool: &'static str, command: Command, words: Vec<String>, current: &str) -> Reply {
    if words.is_empty() {
        return Reply::default();
    }
    let mut args = with_joined_store(&words);
    let cursor = args.len();
    args.push(current.into());
    let line = Arc::new(Line::new(words));
    let mut command = due::with_candidates(tool, dashed_values(command), &line);
    let candidates = engine::complete(&mut command, args, cursor, None).unwrap_or_default();
    let native = line.wanted_native().map(|(kind, typed)| {
        let before = current.len().saturating_sub(typed);
        (kind, current.get(..before).unwrap_or_default().to_owned())
    });
    let mut offers: Vec<Offer> = candidates
        .iter()
        .filter(|candidate| line.is_escaped() || !is_name_like_option(candidate))
        .filter_map(offer)
        .filter(|offer| offer.value.starts_with(current))
        .collect();
    // Where a name is expected, options are not offered, even if there is no name; where no value
    // is expected, only options are left.
    let is_due = native.is_some() || line.is_name_wanted();
    let is_all = !is_due && offers.iter().all(|offer| offer.is_option);
    if !current.starts_with('-') && !is_all {
        offers.retain(|offer| !offer.is_option);
    }
    Reply { offers, native }
}

/// The words, with `--store DIR` as one: the directory may have a subcommand's name.
fn with_joined_store(words: &[String]) -> Vec<OsString> {
    let mut args = Vec::with_capacity(words.len() + 1);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match words.as_slice().first() {
            Some(dir) if word == "--store" => {
                args.push(format!("--store={dir}").into());
                words.next();
            }
            _ => args.push(word.into()),
        }
    }
    args
}

/// Whether it would be taken for an option in its place: a group's name may begin with a dash.
fn is_name_like_option(candidate: &CompletionCandidate) -> bool {
    let value = candidate.get_value().as_encoded_bytes();
    let place = candidate.get_tag().map(ToString::to_string);
    let is_positional = place.is_some_and(|place| place.starts_with(['<', '[']));
    candidate.get_id().is_none() && is_positional && value.starts_with(b"-")
}

/// `None` for text that cannot be typed literally, or is more than one line.
fn offer(candidate: &CompletionCandidate) -> Option<Offer> {
    let value = candidate.get_value().to_str()?;
    if value.chars().any(char::is_control) {
        return None;
    }
    let help = candidate.get_help().map(ToString::to_string);
    let first_line = |help: String| help.lines().next().map(str::to_owned);
    Some(Offer {
        value: value.to_owned(),
        help: help.and_then(first_line).filter(|help| !help.is_empty()),
        is_option: candidate.get_id().is_some_and(|id| id.starts_with("arg::")),
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
