//! Options that every tool has.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::env::Color;
pub use super::lang::usage;
use crate::error::Result;
use crate::types::BrokerId;

/// Options that every tool has.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// The store's directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]
    #[arg(long, value_name = "DIR", global = true, help_heading = "General")]
    pub store: Option<PathBuf>,
    /// No notes and no progress on stderr
    #[arg(short, long, global = true, help_heading = "General")]
    pub quiet: bool,
    /// Colour in tables
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        global = true,
        help_heading = "General"
    )]
    pub color: Color,
    /// Print commands and options as JSON, for programs
    // The command that it asks about is found before parsing: cli::help_json.
    #[arg(long, global = true, action = clap::ArgAction::Help)]
    pub help_json: Option<bool>,
}

/// The bytes of an option's value, without a check that they are text.
///
/// # Errors
/// [`crate::error::Kind::Usage`] on systems where arguments are not bytes, if this one is no text.
#[cfg(unix)]
pub fn bytes_as_given(_option: &str, value: OsString) -> Result<Vec<u8>> {
    Ok(std::os::unix::ffi::OsStringExt::into_vec(value))
}

/// The bytes of an option's value, which has to be text here.
///
/// # Errors
/// [`crate::error::Kind::Usage`] if the value is not text.
#[cfg(not(unix))]
pub fn bytes_as_given(option: &str, value: OsString) -> Result<Vec<u8>> {
    value.into_string().map(String::into_bytes).map_err(|_| {
        usage(
            format!("the value of {option} is not Unicode"),
            "read it from a file or from standard input",
        )
    })
}

/// Parses a broker's id.
///
/// # Errors
/// [`crate::error::Kind::Usage`] if no broker can have this id.
pub fn broker_id(text: &str) -> Result<BrokerId> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        usage(
            format!("'{}' is not a broker's id", text.escape_debug()),
            format!("ids are whole numbers from 0 to {}", BrokerId::MAX),
        )
    })
}

/// How long a change waits for a lock.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
