//! How records stand in a stream of bytes: the options that what writes them and what reads them
//! have in common.

use super::{Delimiter, Format};
use crate::error::Result;

/// `-f`, `-J`, `-D` and `-0` as they were given; the command line lets only one of them be.
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

/// How records stand in a stream.
#[derive(Debug, Clone)]
pub enum Framing {
    /// As a template or the JSON envelope says.
    Format(Format),
    /// Each with this behind it.
    Ended(Delimiter),
}

impl FramingOptions<'_> {
    /// What they amount to; lines, if there are none.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for a template or a delimiter that cannot be.
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
