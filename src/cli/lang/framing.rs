//! How records are separated in a stream of bytes: the options that input and output share.

use super::{Delimiter, Format};
use crate::error::Result;

/// `-f`, `-J`, `-D` and `-0` as given; the command line allows only one of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct FramingOptions<'a> {
    /// `-f`
    pub format: Option<&'a str>,
    /// `-J`
    pub json: bool,
    /// `-D`
    pub delimiter: Option<&'a str>,
    /// `-0`
    pub nul: bool,
}

/// How records are separated in a stream.
#[derive(Debug, Clone)]
pub enum Framing {
    /// By a template or the JSON envelope.
    Format(Format),
    /// By this delimiter after each record.
    Ended(Delimiter),
}

impl FramingOptions<'_> {
    /// Parses the options; lines, if none is given.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for an invalid template or delimiter.
    pub fn parse(self) -> Result<Framing> {
        Ok(match (self.format, self.delimiter) {
            _ if self.json => Framing::Format(Format::Json),
            (Some(template), _) => Framing::Format(Format::parse(template)?),
            (None, Some(delimiter)) => Framing::Ended(Delimiter::parse("-D", delimiter)?),
            (None, None) if self.nul => Framing::Ended(Delimiter::nul()),
            (None, None) => Framing::Ended(Delimiter::newline()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_four_or_lines() {
        let none = FramingOptions::default();
        for (options, ended_by) in [
            (none, &b"\n"[..]),
            (FramingOptions { nul: true, ..none }, b"\0"),
            (
                FramingOptions {
                    delimiter: Some("\\t|"),
                    ..none
                },
                b"\t|",
            ),
        ] {
            let Framing::Ended(delimiter) = options.parse().expect("good") else {
                panic!("{options:?}")
            };
            assert_eq!(delimiter.bytes(), ended_by);
        }
        let json = FramingOptions { json: true, ..none };
        let named = FramingOptions {
            format: Some("json"),
            ..none
        };
        for options in [json, named] {
            let framing = options.parse().expect("good");
            assert!(
                matches!(framing, Framing::Format(Format::Json)),
                "{options:?}"
            );
        }
        for bad in [
            FramingOptions {
                format: Some("%q"),
                ..none
            },
            FramingOptions {
                delimiter: Some(""),
                ..none
            },
        ] {
            assert_eq!(
                bad.parse().expect_err("refused").kind(),
                crate::error::Kind::Usage
            );
        }
    }
}
