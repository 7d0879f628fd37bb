//! Rows for stdout, in any format.

use std::io::Write;

use super::cell::{Cell, Column};
use super::format::{OutputFormat, OutputOptions};
use super::json::{self, Row};
use super::table::{self, Shape, TableStyle};
use super::tsv;
use crate::cli::Env;
use crate::cli::stdout::{self, Stdout};
use crate::error::{Error, Result};

/// Rows of a table whose widths are computed together. A longer table is printed in parts.
const TABLE_ROWS: usize = 1000;

/// Prints rows as they come: tsv and JSON at once, a table once it is complete (or long).
pub struct RowPrinter<W: Write> {
    out: W,
    columns: &'static [Column],
    options: OutputOptions,
    style: TableStyle,
    pending: Vec<Vec<Cell>>,
    begun: bool,
    /// The shape of the rows, fixed by the first ones.
    shape: Option<Shape>,
    /// Whether omitted columns are named below the table.
    notifies_rest: bool,
    buf: Vec<u8>,
}

/// The columns of the terminal, if standard output is one; `None`: lines may have any width.
pub fn listing_width(env: &Env) -> Option<u16> {
    if !env.stdout_is_terminal() {
        return None;
    }
    let (columns, _) = stdout::size()?;
    Some(columns).filter(|columns| *columns > 0)
}

impl RowPrinter<std::io::BufWriter<Stdout>> {
    /// Rows with these columns, for standard output.
    pub fn stdout(env: &Env, columns: &'static [Column], options: OutputOptions) -> Self {
        let style = TableStyle {
            width: listing_width(env),
            color: env.color(),
            zone: crate::cli::local_zone(),
        };
        let out = std::io::BufWriter::new(env.stdout());
        let mut listing = RowPrinter::new(out, columns, options, style);
        listing.notifies_rest = true;
        listing
    }
}

impl RowPrinter<Vec<u8>> {
    /// Rows with these columns, kept in memory; a table is at most `width` wide.
    pub fn memory(
        env: &Env,
        columns: &'static [Column],
        options: OutputOptions,
        width: Option<u16>,
    ) -> Self {
        let style = TableStyle {
            width,
            color: env.color(),
            zone: crate::cli::local_zone(),
        };
        RowPrinter::new(Vec::new(), columns, options, style)
    }

    /// The printed bytes.
    pub fn into_bytes(mut self) -> Result<Vec<u8>> {
        self.end()?;
        Ok(self.out)
    }
}

impl<W: Write> RowPrinter<W> {
    pub(super) fn new(
        out: W,
        columns: &'static [Column],
        options: OutputOptions,
        style: TableStyle,
    ) -> Self {
        RowPrinter {
            out,
            columns,
            options,
            style,
            pending: Vec::new(),
            begun: false,
            shape: None,
            notifies_rest: false,
            buf: Vec::new(),
        }
    }

    /// The requested format.
    pub fn format(&self) -> OutputFormat {
        self.options.format
    }

    /// Adds a row: a cell for each column.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn row(&mut self, cells: Vec<Cell>) -> Result<()> {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        match self.options.format {
            OutputFormat::Table => {
                self.pending.push(cells);
                if self.pending.len() >= TABLE_ROWS {
                    self.table()?;
                }
            }
            OutputFormat::Tsv => {
                self.tsv_header();
                tsv::row(&cells, &mut self.buf);
                self.put()?;
            }
            OutputFormat::Json => {
                let columns = self.columns;
                let row = Row {
                    columns,
                    cells: &cells,
                };
                json::json_line(&row, &mut self.buf)?;
                self.put()?;
            }
        }
        Ok(())
    }

    /// Prints what is held back, and hands everything to the system.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn finish(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        match self.options.format {
            OutputFormat::Table if !self.pending.is_empty() => {
                self.table()?;
                self.notify_rest()?;
            }
            OutputFormat::Table => self.notify_rest()?,
            OutputFormat::Tsv => {
                self.tsv_header();
                self.put()?;
            }
            OutputFormat::Json => {}
        }
        self.out.flush().map_err(stdout_error)
    }

    fn tsv_header(&mut self) {
        if self.options.header && !self.begun {
            tsv::header(self.columns, &mut self.buf);
        }
        self.begun = true;
    }

    fn table(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending);
        let drawn = table::render(self.columns, &rows, self.shape.as_ref(), &self.style);
        self.shape = Some(drawn.shape);
        self.buf.extend(drawn.text.into_bytes());
        self.put()
    }

    fn notify_rest(&mut self) -> Result<()> {
        if let Some(Shape::Table(layout)) = &self.shape
            && layout.is_cut
            && self.notifies_rest
        {
            self.buf.extend(b"(more columns: --format json)\n");
            self.put()?;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<()> {
        let written = self.out.write_all(&self.buf).map_err(stdout_error);
        self.buf.clear();
        written
    }
}

fn stdout_error(e: std::io::Error) -> Error {
    stdout::failed(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::text("name"),
        Column::number("lag"),
        Column::text("isr"),
    ];

    fn printed(format: OutputFormat, header: bool, rows: &[Vec<Cell>]) -> String {
        let mut out = Vec::new();
        let options = OutputOptions {
            format,
            header,
            is_given: true,
        };
        let style = TableStyle {
            width: None,
            color: false,
            zone: jiff::tz::TimeZone::UTC,
        };
        let mut listing = RowPrinter::new(&mut out, &COLUMNS, options, style);
        for row in rows {
            listing.row(row.clone()).expect("row");
        }
        listing.finish().expect("finish");
        String::from_utf8(out).expect("text")
    }

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["a\tb".into(), 7.into(), Cell::list([0, 2])],
            vec!["-".into(), Cell::Null, Cell::list::<i32>([])],
            vec!["\u{9b}31m\u{202e}\"".into(), (-1).into(), Cell::Null],
        ]
    }

    #[test]
    fn tsv() {
        let body = "a\\tb\t7\t0,2\n\\x2d\t-\t-\n\\xc2\\x9b31m\\xe2\\x80\\xae\"\t-1\t-\n";
        assert_eq!(printed(OutputFormat::Tsv, false, &rows()), body);
        assert_eq!(
            printed(OutputFormat::Tsv, true, &rows()),
            format!("name\tlag\tisr\n{body}")
        );
        assert_eq!(printed(OutputFormat::Tsv, true, &[]), "name\tlag\tisr\n");
        assert_eq!(printed(OutputFormat::Tsv, false, &[]), "");
    }

    #[test]
    fn json() {
        assert_eq!(
            printed(OutputFormat::Json, false, &rows()),
            "{\"name\":\"a\\tb\",\"lag\":7,\"isr\":[0,2]}\n\
             {\"name\":\"-\",\"lag\":null,\"isr\":[]}\n\
             {\"name\":\"\\u009b31m\\u202e\\\"\",\"lag\":-1,\"isr\":null}\n"
        );
    }

    #[test]
    fn a_table_has_one_header_however_long() {
        let row = vec!["x".into(), 1.into(), Cell::Null];
        let text = printed(OutputFormat::Table, false, &vec![row; TABLE_ROWS + 1]);
        assert_eq!(text.lines().count(), TABLE_ROWS + 2);
        assert_eq!(text.matches("NAME").count(), 1);
        assert_eq!(printed(OutputFormat::Table, false, &[]), "");
    }
}
