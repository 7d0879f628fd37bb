//! Rows as JSON, one object a line.

use serde::Serialize;
use serde::ser::SerializeMap;

use super::cell::{Cell, Column};
use crate::cli::lang::is_unprintable;
use crate::error::{Error, Kind, Result};

/// Appends `value` as one line. Escapes every character that a terminal might act on, which does
/// not change the meaning of the JSON.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) for a value that JSON cannot represent.
pub fn json_line(value: &impl Serialize, out: &mut Vec<u8>) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|e| Error::new(Kind::Io, format!("cannot write JSON: {e}")))?;
    let mut buf = [0; 4];
    for c in text.chars() {
        if is_unprintable(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.extend(format!("\\u{unit:04x}").bytes());
            }
        } else {
            out.extend(c.encode_utf8(&mut buf).bytes());
        }
    }
    out.push(b'\n');
    Ok(())
}

/// A row as an object, with its keys in the order of the columns.
pub(super) struct Row<'a> {
    pub(super) columns: &'a [Column],
    pub(super) cells: &'a [Cell],
}

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.cells) {
            map.serialize_entry(column.name, cell)?;
        }
        map.end()
    }
}

impl Serialize for Cell {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Null => s.serialize_unit(),
            Cell::Text(text) => s.serialize_str(text),
            Cell::Number(number) => s.serialize_i64(*number),
            Cell::Bool(yes) => s.serialize_bool(*yes),
            Cell::List(items) => s.collect_seq(items),
        }
    }
}
