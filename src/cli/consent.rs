//! Consent to changes that delete data or move committed offsets.
//!
//! Whether the user can be asked is decided before the store is opened ([`ConsentArgs::settle`]);
//! the question comes once the plan is known ([`Consent::proceed`]).

use std::io::{self, BufRead};

use super::Env;
use super::env::unasked;
use crate::error::{Error, Kind, Result};

/// The options of commands that need consent.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConsentArgs {
    /// Print the plan, change nothing
    #[arg(long, help_heading = "Changes")]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long, help_heading = "Changes")]
    pub yes: bool,
}

/// Whether a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// The plan is only printed.
    DryRun,
    /// The plan is carried out.
    Given,
    /// The user at the terminal is asked.
    Ask,
}

impl ConsentArgs {
    /// What the options mean; `can_ask`: standard input is a terminal. `what` is the change, as in
    /// "deleting topics".
    ///
    /// # Errors
    /// [`Kind::Usage`] if consent was not given and the user cannot be asked.
    pub fn settle(&self, can_ask: bool, what: &str) -> Result<Consent> {
        match (self.dry_run, self.yes) {
            (true, _) => Ok(Consent::DryRun),
            (false, true) => Ok(Consent::Given),
            (false, false) if can_ask => Ok(Consent::Ask),
            (false, false) => Err(unasked(what)),
        }
    }
}

impl Consent {
    /// Whether to carry out the plan; asks `question` if necessary, such as `delete 3 topics (1.5
    /// GiB)?`.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] if the answer is not yes; then nothing is changed.
    pub fn proceed(self, env: &Env, question: &str) -> Result<bool> {
        match self {
            Consent::DryRun => Ok(false),
            Consent::Given => Ok(true),
            Consent::Ask => {
                env.prompt(&format!("{question} [y/N] "));
                let answer = if env.await_stdin()? {
                    answered(&mut io::stdin().lock())?
                } else {
                    Answer::Missing
                };
                match answer {
                    Answer::Yes => Ok(true),
                    answer => {
                        if answer == Answer::Missing {
                            env.end_line();
                        }
                        Err(Error::new(
                            Kind::Interrupted,
                            "not confirmed: nothing was changed",
                        ))
                    }
                }
            }
        }
    }

    /// Whether the plan is only printed.
    pub fn is_dry_run(self) -> bool {
        self == Consent::DryRun
    }
}

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// No answer, and no end of line: the cursor is still behind the question.
    Missing,
}

fn answered(input: &mut dyn BufRead) -> Result<Answer> {
    let mut answer = Vec::new();
    io::Read::take(input, ANSWER_BYTES_MAX)
        .read_until(b'\n', &mut answer)
        .map_err(|e| Error::io("read", "standard input", e))?;
    Ok(match answer.trim_ascii().to_ascii_lowercase().as_slice() {
        b"y" | b"yes" => Answer::Yes,
        _ if answer.is_empty() => Answer::Missing,
        _ => Answer::No,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_says_yes_or_nothing_happens() {
        for (dry_run, yes, terminal, consent) in [
            (false, true, false, Consent::Given),
            (false, true, true, Consent::Given),
            (true, false, false, Consent::DryRun),
            (true, true, true, Consent::DryRun),
            (false, false, true, Consent::Ask),
        ] {
            let settled = ConsentArgs { dry_run, yes }.settle(terminal, "deleting");
            assert_eq!(settled.expect("settled"), consent);
        }
        let e = ConsentArgs::default()
            .settle(false, "deleting topics")
            .expect_err("refused");
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.cure_text().is_some_and(|cure| cure.contains("--yes")));
    }

    #[test]
    fn only_yes_is_yes() {
        for (answer, taken_as) in [
            (&b"y\n"[..], Answer::Yes),
            (b" YES \n", Answer::Yes),
            (b"y", Answer::Yes),
            (b"\n", Answer::No),
            (b"", Answer::Missing),
            (b"no\n", Answer::No),
            (b"yes please\n", Answer::No),
        ] {
            let mut input = answer;
            assert_eq!(answered(&mut input).expect("read"), taken_as, "{answer:?}");
        }
    }
}
