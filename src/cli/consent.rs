//! Asking before something is lost.

use std::io::{BufRead, IsTerminal, Write};

use super::Env;
use crate::error::{Error, Kind, Result};

/// Options of commands that delete data or move offsets.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ConsentArgs {
    /// Say what would be done, and do nothing
    #[arg(long, help_heading = "Consent")]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long, help_heading = "Consent")]
    pub yes: bool,
}

/// Asks, where somebody can answer. `what` ends the sentence "This will ...".
///
/// # Errors
/// [`Kind::Usage`] where nobody can and `--yes` was not said; [`Kind::Interrupted`] for a no.
pub fn ask(args: ConsentArgs, what: &str, env: &Env) -> Result<()> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(Kind::Usage, format!("this would {what}, and nobody can be asked"))
            .cure("say --yes, or look first with --dry-run"));
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{}: this will {what}. Go on? [y/N] ", env.tool());
    let _ = stderr.flush();
    drop(stderr);
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Error::io("read", "standard input", e))?;
    if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
        return Ok(());
    }
    Err(Error::new(Kind::Interrupted, "nothing was changed"))
}
