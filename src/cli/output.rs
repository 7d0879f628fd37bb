//! Rows for people (`table`), for programs (`json`, an object a line) and for both (`tsv`).
//!
//! `json` and `tsv` are frozen: fields are only added, at the end. In `tsv` nothing is `-`, and
//! tab, newline, backslash, unprintable bytes and a lone `-` are escaped.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::Env;
use super::lang::tsv_field;
use super::report;
use crate::error::{Error, Result};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people; may change
    #[default]
    Table,
    /// One object a line; frozen
    Json,
    /// Tab-separated; frozen
    Tsv,
}

/// Options of commands that print rows.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputArgs {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub format: Format,
    /// Begin tsv with the names of the columns
    #[arg(long, help_heading = "Output")]
    pub header: bool,
}

/// Rows of one kind.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// Rows with these columns.
    pub fn new(columns: &[&'static str]) -> Self {
        Rows { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One more row, a cell for each column.
    pub fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints them.
    pub fn print(&self, args: OutputArgs, env: &Env) -> Result<()> {
        match args.format {
            Format::Table => print_text(&self.table(env)),
            Format::Json => {
                let objects = self.rows.iter().map(|row| {
                    let members = self.columns.iter().zip(row);
                    Value::Object(members.map(|(c, v)| ((*c).to_owned(), v.clone())).collect::<Map<_, _>>())
                });
                print_objects(objects)
            }
            Format::Tsv => print_text(&self.tsv(args.header)),
        }
    }

    fn table(&self, env: &Env) -> Vec<u8> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|column| {
            let cell = comfy_table::Cell::new(column.to_uppercase().replace('_', " "));
            if env.color() { cell.add_attribute(comfy_table::Attribute::Bold) } else { cell }
        }));
        if env.color() {
            table.enforce_styling();
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|value| {
                let cell = comfy_table::Cell::new(report::plain(&text(value), env.stdout_is_terminal()));
                if value.is_number() { cell.set_alignment(CellAlignment::Right) } else { cell }
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut out = String::new();
        for line in table.to_string().lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out.into_bytes()
    }

    fn tsv(&self, header: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if header {
            out.extend_from_slice(self.columns.join("\t").as_bytes());
            out.push(b'\n');
        }
        for row in &self.rows {
            for (at, value) in row.iter().enumerate() {
                if at > 0 {
                    out.push(b'\t');
                }
                let text = text(value);
                if text.is_empty() || value.is_null() {
                    out.push(b'-');
                } else {
                    tsv_field(text.as_bytes(), &mut out);
                }
            }
            out.push(b'\n');
        }
        out
    }
}

/// A cell as text: lists joined by commas.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Prints JSON, an object a line.
pub fn print_objects(objects: impl IntoIterator<Item = Value>) -> Result<()> {
    let mut out = Vec::new();
    for object in objects {
        out.extend_from_slice(object.to_string().as_bytes());
        out.push(b'\n');
    }
    print_text(&out)
}

/// Prints text. A reader that goes away is no error.
pub fn print_text(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to", "standard output", e))
        }
        _ => Ok(()),
    }
}

/// Bytes as a person reads them.
pub fn human_bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
