//! Rows as a table for people.

use comfy_table::{Attribute, CellAlignment, ContentArrangement};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cell::{Cell, Column, Show};
use crate::cli::lang::is_unprintable;

/// How a table looks where it is shown.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// Columns of the terminal; `None`: as wide as it gets.
    pub(super) width: Option<u16>,
    /// Whether the header is bold.
    pub(super) color: bool,
    /// For times.
    pub(super) zone: TimeZone,
}

/// The rows, aligned; below the columns' names if `header`.
pub(super) fn render(columns: &[Column], rows: &[Vec<Cell>], header: bool, look: &Look) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.force_no_tty();
    match look.width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    if header {
        table.set_header(columns.iter().map(|column| {
            let cell = comfy_table::Cell::new(column.name.to_uppercase().replace('_', " "));
            if look.color {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        if look.color {
            table.enforce_styling();
        }
    }
    for row in rows {
        table.add_row(
            columns
                .iter()
                .zip(row)
                .map(|(column, cell)| shown(cell, column.show, &look.zone)),
        );
    }
    for (at, column) in columns.iter().enumerate() {
        if let Some(in_table) = table.column_mut(at) {
            in_table.set_padding((0, 2));
            if !matches!(column.show, Show::Text | Show::Time) {
                in_table.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// One cell, safe to be shown.
fn shown(cell: &Cell, show: Show, zone: &TimeZone) -> String {
    match (cell, show) {
        (Cell::Null, _) => "-".to_owned(),
        (Cell::Number(bytes), Show::Size) => size(*bytes),
        (Cell::Number(ms), Show::Time) => time(*ms, zone),
        (Cell::Number(ms), Show::Duration) => duration(*ms),
        _ => {
            let plain = cell.plain();
            if plain.is_empty() {
                "-".to_owned()
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
fn size(bytes: i64) -> String {
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

/// A local time to the second; -1 is none.
fn time(ms: i64, zone: &TimeZone) -> String {
    if ms < 0 {
        return "-".to_owned();
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

    fn look(width: Option<u16>) -> Look {
        Look {
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
        let text = render(&COLUMNS, &rows(), true, &look(None));
        assert_eq!(
            text,
            "TOPIC          PARTITIONS  SIZE BYTES  LAST\n\
             orders                 12     1.5 KiB  1970-01-01 00:00:00\n\
             a\\u{1b}[31m\\n           3           -  -\n"
        );
    }

    #[test]
    fn no_wider_than_the_terminal() {
        let text = render(&COLUMNS, &rows(), true, &look(Some(40)));
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
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
