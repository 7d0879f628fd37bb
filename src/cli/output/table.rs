//! Rows as a table for people.
//!
//! [`super::layout`] fits the table to a terminal. If no table fits, each row is a block of lines
//! instead.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::blocks;
use super::cell::{BOLD, Cell, Column, PLAIN, Show};
use super::layout::{GAP, Layout, heading, lay_out};
use crate::cli::lang::is_unprintable;

/// How a table is shown.
#[derive(Debug, Clone)]
pub(super) struct TableStyle {
    /// The terminal's columns; `None`: unlimited.
    pub(super) width: Option<u16>,
    /// Whether the header is bold.
    pub(super) color: bool,
    /// For times.
    pub(super) zone: TimeZone,
}

/// Stands for a value that is absent.
const NOTHING: &str = "-";

/// The shape of rows: later rows get the same.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A table.
    Table(Layout),
    /// A block of lines for each row.
    Blocks,
}

/// Rendered rows.
pub(super) struct Drawn {
    /// The lines.
    pub text: String,
    /// The shape they were given.
    pub shape: Shape,
}

/// The rows, aligned; below the columns' names, unless `before` gives the shape of earlier rows.
pub(super) fn render(
    columns: &[Column],
    rows: &[Vec<Cell>],
    before: Option<&Shape>,
    style: &TableStyle,
) -> Drawn {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cells = columns.iter().zip(row);
            cells
                .map(|(column, cell)| shown(cell, column.show, &style.zone))
                .collect()
        })
        .collect();
    let shape = match before {
        Some(before) => before.clone(),
        None => lay_out(columns, &needed(columns.len(), &rows), style.width)
            .map_or(Shape::Blocks, Shape::Table),
    };
    let text = match &shape {
        Shape::Blocks => {
            let headings: Vec<String> = columns.iter().map(heading).collect();
            blocks::render(&headings, &rows, style.color)
        }
        Shape::Table(layout) => aligned(columns, &rows, layout, before.is_none(), style),
    };
    Drawn { text, shape }
}

/// The width of each column's cells; 0: the column has no values.
fn needed(columns: usize, rows: &[Vec<String>]) -> Vec<u16> {
    let mut table = comfy_table::Table::new();
    table.add_rows(rows);
    let mut widths = table.column_max_content_widths();
    widths.resize(columns, 0);
    for (at, width) in widths.iter_mut().enumerate() {
        let is_nothing = |row: &Vec<String>| row.get(at).is_none_or(|cell| cell == NOTHING);
        if rows.iter().all(is_nothing) {
            *width = 0;
        }
    }
    widths
}

fn aligned(
    columns: &[Column],
    rows: &[Vec<String>],
    layout: &Layout,
    header: bool,
    style: &TableStyle,
) -> String {
    let of_header = match (header, &layout.widths) {
        (false, _) => 0,
        (true, None) => 1,
        // The lines of a header depend on the widths alone, so their number is known without rows.
        (true, Some(_)) => laid_out(columns, &[], layout, true, style.width)
            .lines()
            .count(),
    };
    let table = laid_out(columns, rows, layout, header, style.width);
    let mut text = String::new();
    // Styled after the layout: a style around the padding would be wider than the terminal.
    for (at, line) in table.trim_fmt().lines().enumerate() {
        let (before, behind) = if at < of_header && style.color {
            (BOLD, PLAIN)
        } else {
            ("", "")
        };
        text.push_str(before);
        text.push_str(line);
        text.push_str(behind);
        text.push('\n');
    }
    text
}

fn laid_out(
    columns: &[Column],
    rows: &[Vec<String>],
    layout: &Layout,
    header: bool,
    width: Option<u16>,
) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let of_row = |row: &Vec<String>| -> Vec<String> {
        let shown = layout.columns.iter();
        shown.filter_map(|at| row.get(*at).cloned()).collect()
    };
    table.add_rows(rows.iter().map(of_row));
    if header {
        table.set_header(&layout.headings);
    }
    if let Some(width) = width.filter(|_| layout.widths.is_some()) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width.saturating_add(GAP));
    }
    for (at, place) in layout.columns.iter().enumerate() {
        if let (Some(in_table), Some(column)) = (table.column_mut(at), columns.get(*place)) {
            in_table.set_padding((0, GAP));
            if let Some(width) = layout.widths.as_ref().and_then(|widths| widths.get(at)) {
                in_table.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + GAP)));
            }
            if !matches!(column.show, Show::Text | Show::Time) {
                in_table.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// One cell, safe for a terminal.
fn shown(cell: &Cell, show: Show, zone: &TimeZone) -> String {
    match (cell, show) {
        (Cell::Null | Cell::Bool(false), _) => NOTHING.to_owned(),
        (Cell::Number(bytes), Show::Size) => size(*bytes),
        (Cell::Number(bytes), Show::Rate) => {
            format!("{}/s", decimal(*bytes).unwrap_or_else(|| size(*bytes)))
        }
        (Cell::Number(ms), Show::Time) => time(*ms, zone),
        (Cell::Number(ms), Show::Duration) => duration(*ms),
        _ => {
            let plain = cell.plain();
            if plain.is_empty() {
                NOTHING.to_owned()
            } else {
                plain
                    .chars()
                    .map(|c| {
                        if is_unprintable(c) {
                            c.escape_default().to_string()
                        } else {
                            c.to_string()
                        }
                    })
                    .collect()
            }
        }
    }
}

/// `17 B`, `1.5 KiB`, `12 MiB`.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes.unsigned_abs() < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value.abs() < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value.abs() < 9.95 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// `100 kB`, `10 MB`: sizes that are whole in decimal units but not in binary ones.
fn decimal(bytes: i64) -> Option<String> {
    if bytes <= 0 || bytes % 1024 == 0 {
        return None;
    }
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    let (unit, of) = units.into_iter().find(|(_, of)| bytes % of == 0)?;
    Some(format!("{} {unit}", bytes / of))
}

/// A local time to the second; -1 means no time.
pub fn time(ms: i64, zone: &TimeZone) -> String {
    if ms < 0 {
        return NOTHING.to_owned();
    }
    Timestamp::from_millisecond(ms).map_or_else(
        |_| ms.to_string(),
        |t| {
            t.to_zoned_datetime(zone.clone())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        },
    )
}

/// The two largest units of a duration: `3d 4h`, `1m 5s`, `250ms`.
fn duration(ms: i64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
    ];
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    for (at, (unit, unit_ms)) in UNITS.iter().enumerate() {
        if ms < *unit_ms {
            continue;
        }
        let whole = ms / unit_ms;
        let rest = UNITS
            .get(at + 1)
            .map(|(small, small_ms)| (small, (ms % unit_ms) / small_ms));
        return match rest {
            Some((small, count)) if count > 0 => format!("{sign}{whole}{unit} {count}{small}"),
            _ => format!("{sign}{whole}{unit}"),
        };
    }
    format!("{sign}{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::text("topic"),
        Column::number("partitions"),
        Column::size("size_bytes"),
        Column::time("last"),
    ];

    fn style(width: Option<u16>) -> TableStyle {
        TableStyle {
            width,
            color: false,
            zone: TimeZone::UTC,
        }
    }

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["orders".into(), 12.into(), 1536.into(), 0.into()],
            vec!["a\u{1b}[31m\n".into(), 3.into(), Cell::Null, (-1).into()],
        ]
    }

    #[test]
    fn aligned_and_safe() {
        let text = render(&COLUMNS, &rows(), None, &style(None)).text;
        assert_eq!(
            text,
            "TOPIC          PARTITIONS  SIZE BYTES  LAST\n\
             orders                 12     1.5 KiB  1970-01-01 00:00:00\n\
             a\\u{1b}[31m\\n           3           -  -\n"
        );
    }

    #[test]
    fn no_wider_than_the_terminal() {
        let text = render(&COLUMNS, &rows(), None, &style(Some(40))).text;
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
    }

    #[test]
    fn a_bold_heading_is_no_wider() {
        for width in 31..100 {
            let colored = TableStyle {
                color: true,
                ..style(Some(width))
            };
            let plain = render(&COLUMNS, &rows(), None, &style(Some(width)));
            if matches!(plain.shape, Shape::Blocks) {
                continue;
            }
            let plain = plain.text;
            let bold = render(&COLUMNS, &rows(), None, &colored).text;
            let mut lines = 0;
            for (plain, bold) in plain.lines().zip(bold.lines()) {
                if let Some(bold) = bold.strip_prefix(BOLD) {
                    assert_eq!(bold.strip_suffix(PLAIN), Some(plain), "{width}");
                    lines += 1;
                } else {
                    assert_eq!(bold, plain, "{width}");
                }
            }
            let broken = plain.lines().position(|line| line.starts_with("orders"));
            assert_eq!(Some(lines), broken, "{width}\n{bold}");
        }
    }

    #[test]
    fn a_narrow_terminal_breaks_headings_then_texts_and_no_number() {
        let text = render(&COLUMNS, &rows(), None, &style(Some(55))).text;
        assert_eq!(
            text,
            "TOPIC          PARTITIONS     SIZE  LAST\n\
             \u{20}                            BYTES\n\
             orders                 12  1.5 KiB  1970-01-01 00:00:00\n\
             a\\u{1b}[31m\\n           3        -  -\n"
        );
        let long = vec![vec!["x".repeat(40).into(), 1.into(), 2.into(), 0.into()]];
        for width in 56..100 {
            let text = render(&COLUMNS, &long, None, &style(Some(width))).text;
            assert!(
                text.lines()
                    .all(|line| line.chars().count() <= width.into()),
                "{width}\n{text}"
            );
            for whole in ["PARTITIONS", "2 B", "1970-01-01 00:00:00"] {
                assert!(text.contains(whole), "{width}\n{text}");
            }
        }
    }

    #[test]
    fn what_fits_nowhere_is_a_block() {
        let text = render(&COLUMNS, &rows(), None, &style(Some(30))).text;
        assert_eq!(
            text,
            "TOPIC       orders\n\
             PARTITIONS  12\n\
             SIZE BYTES  1.5 KiB\n\
             LAST        1970-01-01 00:00:00\n\
             \n\
             TOPIC       a\\u{1b}[31m\\n\n\
             PARTITIONS  3\n\
             SIZE BYTES  -\n\
             LAST        -\n"
        );
    }

    #[test]
    fn numbers_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10 << 10, "10 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (i64::MAX, "8192 PiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
        for (ms, text) in [
            (0, "0ms"),
            (250, "250ms"),
            (1000, "1s"),
            (65_000, "1m 5s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (97_200_000, "1d 3h"),
            (-1500, "-1s"),
        ] {
            assert_eq!(duration(ms), text, "{ms}");
        }
    }
}
