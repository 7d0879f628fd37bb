//! The output of the admin tools: rows of typed cells, as a table for people, as tsv or JSON for
//! programs.
//!
//! The table may change from version to version. tsv and JSON are frozen: columns are only added,
//! at the end; times are epoch milliseconds, sizes are bytes, and unknown values are null.

mod blocks;
mod cell;
mod format;
mod json;
mod layout;
mod row_printer;
mod table;
mod tsv;

pub use cell::{Cell, Column, Show};
pub use format::{OutputArgs, OutputFormat, OutputOptions};
pub use json::json_line;
pub use row_printer::{RowPrinter, listing_width};
pub use table::time as local_time;
pub use table::{size as show_size, time as show_time};
