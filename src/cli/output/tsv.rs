//! Rows as tab-separated lines.

use super::cell::{Cell, Column};
use crate::cli::lang::tsv_field;

/// Appends the names of the columns.
pub(super) fn header(columns: &[Column], out: &mut Vec<u8>) {
    fields(columns.iter().map(|column| column.name.to_owned()), out);
}

/// Appends a row. Null and empty are `-`; lists are joined by `,`.
pub(super) fn row(cells: &[Cell], out: &mut Vec<u8>) {
    fields(cells.iter().map(Cell::plain), out);
}

fn fields(fields: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        tsv_field(field.as_bytes(), out);
    }
    out.push(b'\n');
}
