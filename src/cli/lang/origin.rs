//! Text that says where a record came from: `%{file}`, `%{name}`, `%{line}`.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

use super::escape::shown;
use super::number::push_decimal;
use super::usage;
use crate::error::Result;

/// Where a record came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Its file, as named on the command line.
    pub file: &'a OsStr,
    /// The line in which it begins, from 1.
    pub line: u64,
}

/// Bytes as given, except for the fields in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginText {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    File,
    Name,
    Line,
}

const FIELDS: [(&[u8], Field); 3] = [
    (b"file}", Field::File),
    (b"name}", Field::Name),
    (b"line}", Field::Line),
];

impl OriginText {
    /// Whether `%{name}` is one of the fields.
    pub fn has_field(name: &str) -> bool {
        let mut names = FIELDS.iter().map(|(known, _)| known);
        names.any(|known| known.strip_suffix(b"}") == Some(name.as_bytes()))
    }

    /// Parses the value of `option`. `%%{` means `%{`; other percent signs are literal.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind::Usage) for another name after `%{`.
    pub fn parse(option: &str, text: &[u8]) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(byte) = rest.first() {
            if let Some(after) = rest.strip_prefix(b"%%{") {
                bytes.extend_from_slice(b"%{");
                rest = after;
            } else if let Some(after) = rest.strip_prefix(b"%{") {
                let known = FIELDS.iter().find(|(name, _)| after.starts_with(name));
                let Some((name, field)) = known else {
                    let text = String::from_utf8_lossy(text);
                    return Err(usage(
                        format!("{option} '{}' has an unknown field after %{{", shown(&text)),
                        "use %{file}, %{name} or %{line}; %%{ is a literal %{",
                    ));
                };
                pieces.extend(take(&mut bytes));
                pieces.push(Piece::Field(*field));
                rest = after.get(name.len()..).unwrap_or_default();
            } else {
                bytes.push(*byte);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        pieces.extend(take(&mut bytes));
        Ok(OriginText { pieces })
    }

    /// Whether it contains a file's name.
    pub fn names_file(&self) -> bool {
        let is_name = |piece: &Piece| matches!(piece, Piece::Field(Field::File | Field::Name));
        self.pieces.iter().any(is_name)
    }

    /// The bytes for a record of that origin.
    pub fn of(&self, origin: Origin<'_>) -> Cow<'_, [u8]> {
        match self.pieces.as_slice() {
            [] => Cow::Borrowed(b""),
            [Piece::Bytes(bytes)] => Cow::Borrowed(bytes),
            pieces => {
                let mut out = Vec::new();
                for piece in pieces {
                    piece.write(origin, &mut out);
                }
                Cow::Owned(out)
            }
        }
    }
}

fn take(bytes: &mut Vec<u8>) -> Option<Piece> {
    (!bytes.is_empty()).then(|| Piece::Bytes(std::mem::take(bytes)))
}

impl Piece {
    fn write(&self, origin: Origin<'_>, out: &mut Vec<u8>) {
        match self {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::Field(Field::File) => out.extend_from_slice(origin.file.as_encoded_bytes()),
            Piece::Field(Field::Name) => {
                let name = Path::new(origin.file).file_name().unwrap_or(origin.file);
                out.extend_from_slice(name.as_encoded_bytes());
            }
            Piece::Field(Field::Line) => push_decimal(origin.line as i64, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn fields_stand_for_where_a_record_came_from() {
        for (text, wanted) in [
            ("", ""),
            ("plain", "plain"),
            ("100%", "100%"),
            ("%k %% %", "%k %% %"),
            ("%{file}", "logs/app.log"),
            ("%{name}:%{line}", "app.log:7"),
            ("<%{line}%{line}>", "<77>"),
            ("%%{file}", "%{file}"),
            ("%%%{line}", "%%{line}"),
            ("{file}", "{file}"),
        ] {
            let parsed = OriginText::parse("-k", text.as_bytes()).expect(text);
            let origin = Origin {
                file: OsStr::new("logs/app.log"),
                line: 7,
            };
            assert_eq!(parsed.of(origin), wanted.as_bytes(), "{text}");
            let named = text.contains("%{file") || text.contains("%{name");
            assert_eq!(
                parsed.names_file(),
                named && !text.contains("%%{"),
                "{text}"
            );
        }
        let parsed = OriginText::parse("-k", b"%{name}").expect("good");
        for (file, name) in [("-", "-"), ("a", "a"), ("/a/b/", "b"), ("..", "..")] {
            let origin = Origin {
                file: OsStr::new(file),
                line: 1,
            };
            assert_eq!(parsed.of(origin), name.as_bytes());
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        for text in ["%{", "%{fil}", "%{File}", "%{file", "a%{ file}", "%{}"] {
            let e = OriginText::parse("-H", text.as_bytes()).expect_err(text);
            assert_eq!(e.kind(), Kind::Usage, "{text}");
            assert!(e.to_string().contains("-H '"), "{e}");
        }
    }
}
