//! Options that every tool has.

use std::path::PathBuf;

use super::env::Color;
pub use super::lang::usage;

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
}
