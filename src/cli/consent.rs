//! Consent to what deletes data or moves committed offsets.
//!
//! Whether anybody can be asked is settled before the store is touched ([`ConsentArgs::settle`]);
//! the question itself comes when the plan is known ([`Consent::proceed`]).

use std::io::{self, BufRead};

use super::Env;
use crate::error::{Error, Kind, Result};

/// The options of what needs consent.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConsentArgs {
    /// Print the plan, change nothing
    #[arg(long, help_heading = "Changes")]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long, help_heading = "Changes")]
    yes: bool,
}

/// Whether a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// It is only printed.
    DryRun,
    /// It is carried out.
    Given,
    /// Somebody at the terminal is asked.
    Ask,
}

impl ConsentArgs {
    /// Of a tool that has these options in a shape of its own.
    pub fn new(dry_run: bool, yes: bool) -> Self {
        ConsentArgs { dry_run, yes }
    }

    /// What the options amount to; `can_ask`: standard input is a terminal. `what` is what
    /// happens then, as in "deleting topics".
    ///
    /// # Errors
    /// [`Kind::Usage`] if nobody said yes and nobody can be asked.
    pub fn settle(&self, can_ask: bool, what: &str) -> Result<Consent> {
        match (self.dry_run, self.yes) {
            (true, _) => Ok(Consent::DryRun),
            (false, true) => Ok(Consent::Given),
            (false, false) if can_ask => Ok(Consent::Ask),
            (false, false) => Err(Error::new(
                Kind::Usage,
                format!("{what} must be confirmed, and standard input is not a terminal"),
            )
            .cure("add --yes, or look at the plan with --dry-run")),
        }
    }
}

impl Consent {
    /// Whether to go on with the plan; `question` is asked if need be, such as
    /// `delete 3 topics (1.5 GiB)?`.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] if the answer is not yes: nothing is changed then.
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

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// None, and no end of a line: the cursor is still behind the question.
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
        let args = ConsentArgs::new;
        for (dry_run, yes, terminal, consent) in [
            (false, true, false, Consent::Given),
            (false, true, true, Consent::Given),
            (true, false, false, Consent::DryRun),
            (true, true, true, Consent::DryRun),
            (false, false, true, Consent::Ask),
        ] {
            let settled = args(dry_run, yes).settle(terminal, "deleting");
            assert_eq!(settled.expect("settled"), consent);
        }
        let e = args(false, false)
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
