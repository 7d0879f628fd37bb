//! Columns and cells.

/// A column: its name, which is the key in JSON, and how a table shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Lower case, words joined by `_`. Frozen once published.
    pub name: &'static str,
    /// How a table shows it; tsv and JSON ignore this.
    pub show: Show,
    /// The heading in a table that would be too wide otherwise.
    pub short: Option<&'static str>,
    /// Whether it is left out of a table that would be too wide otherwise.
    pub is_minor: bool,
}

/// How a table shows a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// As it is, aligned left.
    Text,
    /// As it is, aligned right.
    Number,
    /// Bytes, in binary units.
    Size,
    /// Bytes a second, in binary units.
    Rate,
    /// Epoch milliseconds, as a local time.
    Time,
    /// Milliseconds, in the largest units that fit.
    Duration,
}

impl Column {
    const fn new(name: &'static str, show: Show) -> Self {
        Column {
            name,
            show,
            short: None,
            is_minor: false,
        }
    }

    /// A column of texts.
    pub const fn text(name: &'static str) -> Self {
        Self::new(name, Show::Text)
    }

    /// A column of numbers.
    pub const fn number(name: &'static str) -> Self {
        Self::new(name, Show::Number)
    }

    /// A column of sizes in bytes.
    pub const fn size(name: &'static str) -> Self {
        Self::new(name, Show::Size)
    }

    /// A column of rates in bytes a second.
    pub const fn rate(name: &'static str) -> Self {
        Self::new(name, Show::Rate)
    }

    /// A column of times in epoch milliseconds.
    pub const fn time(name: &'static str) -> Self {
        Self::new(name, Show::Time)
    }

    /// A column of durations in milliseconds.
    pub const fn duration(name: &'static str) -> Self {
        Self::new(name, Show::Duration)
    }

    /// With a short heading for narrow tables.
    #[must_use]
    pub const fn short(mut self, heading: &'static str) -> Self {
        self.short = Some(heading);
        self
    }

    /// A column that narrow tables leave out.
    #[must_use]
    pub const fn minor(mut self) -> Self {
        self.is_minor = true;
        self
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Unknown, or absent.
    Null,
    /// A text; may contain anything.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// Several values; joined by `,` where the format has no lists.
    List(Vec<Cell>),
}

impl Cell {
    /// A list of cells.
    pub fn list<T: Into<Cell>>(items: impl IntoIterator<Item = T>) -> Self {
        Cell::List(items.into_iter().map(Into::into).collect())
    }

    /// The plain text, unescaped. Null and an empty list are empty.
    pub(super) fn plain(&self) -> String {
        match self {
            Cell::Null => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Number(number) => number.to_string(),
            Cell::Bool(yes) => yes.to_string(),
            Cell::List(items) => {
                let items: Vec<String> = items.iter().map(Cell::plain).collect();
                items.join(",")
            }
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Cell::Number(number)
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Cell::Number(number.into())
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Cell::Number(number.into())
    }
}

impl From<u64> for Cell {
    /// A number above the range of i64 is shown as its maximum.
    fn from(number: u64) -> Self {
        Cell::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Cell {
    fn from(yes: bool) -> Self {
        Cell::Bool(yes)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

/// Before and after a bold heading (ECMA-48, SGR 1 and 0).
pub(crate) const BOLD: &str = "\u{1b}[1m";

pub(crate) const PLAIN: &str = "\u{1b}[0m";
