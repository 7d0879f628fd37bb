//! `--format` and `--header`.

use crate::error::{Error, Kind, Result};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for people, as many as fit; may change
    #[default]
    Table,
    /// One object a line, for scripts
    Json,
    /// Tab-separated, for scripts
    Tsv,
}

/// The options of commands that print rows.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OutputArgs {
    /// Output format [default: table]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    format: Option<OutputFormat>,
    /// Begin tsv with a line of column names
    #[arg(long, help_heading = "Output")]
    header: bool,
}

/// How rows are printed, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputOptions {
    /// The format.
    pub format: OutputFormat,
    /// Whether tsv begins with the names.
    pub header: bool,
    /// Whether a format was given: then a change prints its result.
    pub is_given: bool,
}

impl TryFrom<OutputArgs> for OutputOptions {
    type Error = Error;

    fn try_from(args: OutputArgs) -> Result<Self> {
        let format = args.format.unwrap_or_default();
        if args.header && format != OutputFormat::Tsv {
            let why = match format {
                OutputFormat::Json => "each JSON object names its fields",
                _ => "a table always has its header",
            };
            return Err(
                Error::new(Kind::Usage, format!("--header is for tsv only: {why}"))
                    .cure("leave --header out, or add --format tsv"),
            );
        }
        Ok(OutputOptions {
            format,
            header: args.header,
            is_given: args.format.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_for_tsv() {
        let args = |format, header| OutputArgs {
            format: Some(format),
            header,
        };
        for format in [OutputFormat::Table, OutputFormat::Json] {
            let e = OutputOptions::try_from(args(format, true)).expect_err("refused");
            assert_eq!(e.kind(), Kind::Usage);
            assert!(e.cure_text().is_some_and(|c| c.contains("--format tsv")));
            assert!(OutputOptions::try_from(args(format, false)).is_ok());
        }
        let tsv = OutputOptions::try_from(args(OutputFormat::Tsv, true)).expect("tsv");
        assert!(tsv.header);
    }
}
