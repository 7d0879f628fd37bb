//! The layout of a table on a terminal: its columns, their headings and widths.
//!
//! On a terminal, a column without values is left out. If the table is still too wide, these steps
//! are taken until it fits: short headings; headings broken at their spaces; minor columns left
//! out, the last first; long texts broken. Numbers are never broken.

use super::cell::{Column, Show};

/// The gap between two columns.
pub(super) const GAP: u16 = 2;
/// Texts are not broken into pieces narrower than this.
const TEXT_WIDTH_MIN: u16 = 12;

/// A table's columns, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The columns that are shown, in order.
    pub columns: Vec<usize>,
    /// The heading of each shown column.
    pub headings: Vec<String>,
    /// The width of each shown column; `None`: as wide as its content.
    pub widths: Option<Vec<u16>>,
    /// Whether columns with values are left out.
    pub is_cut: bool,
}

/// `body`: the width of each column's cells; 0: the column has no values. `width`: of the terminal;
/// `None`: unlimited, with all columns. Returns `None` if no table fits.
pub(super) fn lay_out(columns: &[Column], body: &[u16], width: Option<u16>) -> Option<Layout> {
    let all: Vec<usize> = (0..columns.len()).collect();
    let Some(width) = width else {
        return Some(Layout {
            headings: headings(columns, &all, false),
            columns: all,
            widths: None,
            is_cut: false,
        });
    };
    let mut shown: Vec<usize> = all.iter().copied().filter(|at| has(body, *at)).collect();
    if shown.is_empty() {
        shown = all;
    }
    let room = |shown: &[usize]| {
        let gaps = u32::from(GAP) * (shown.len().saturating_sub(1) as u32);
        u32::from(width).checked_sub(gaps)
    };
    let mut is_cut = false;
    let minor: Vec<usize> = shown
        .iter()
        .copied()
        .filter(|at| is_minor(columns, *at))
        .collect();
    let mut minor = minor.into_iter().rev();
    loop {
        for short in [false, true] {
            let headings = headings(columns, &shown, short);
            let widths = whole(&headings, &shown, body);
            if room(&shown).is_some_and(|room| sum(&widths) <= room) {
                return Some(Layout {
                    columns: shown,
                    headings,
                    widths: None,
                    is_cut,
                });
            }
        }
        let headings = headings(columns, &shown, true);
        let broken = |of_text: u16| {
            let room = room(&shown)?;
            fit(columns, &headings, &shown, body, room, of_text)
        };
        let last_minor = minor.next();
        let of_text = if last_minor.is_some() {
            u16::MAX
        } else {
            TEXT_WIDTH_MIN
        };
        if let Some(widths) = broken(of_text) {
            return Some(Layout {
                columns: shown,
                headings,
                widths: Some(widths),
                is_cut,
            });
        }
        let left_out = last_minor?;
        shown.retain(|at| *at != left_out);
        is_cut = true;
    }
}

fn has(body: &[u16], at: usize) -> bool {
    body.get(at).is_some_and(|width| *width > 0)
}

fn is_minor(columns: &[Column], at: usize) -> bool {
    columns.get(at).is_some_and(|column| column.is_minor)
}

/// The column's name, as a heading.
pub(super) fn heading(column: &Column) -> String {
    column.name.to_uppercase().replace('_', " ")
}

fn headings(columns: &[Column], shown: &[usize], short: bool) -> Vec<String> {
    let shown = shown.iter().filter_map(|at| columns.get(*at));
    shown
        .map(|column| match column.short {
            Some(heading) if short => heading.to_uppercase(),
            _ => heading(column),
        })
        .collect()
}

fn width_of(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}

fn sum(widths: &[u16]) -> u32 {
    widths.iter().map(|width| u32::from(*width)).sum()
}

/// The widths of columns that are not broken.
fn whole(headings: &[String], shown: &[usize], body: &[u16]) -> Vec<u16> {
    let body = shown.iter().map(|at| body.get(*at).copied().unwrap_or(0));
    let both = headings.iter().zip(body);
    both.map(|(heading, body)| width_of(heading).max(body))
        .collect()
}

/// Widths with broken headings, and texts wider than `of_text` broken; `None` if that does not fit.
fn fit(
    columns: &[Column],
    headings: &[String],
    shown: &[usize],
    body: &[u16],
    room: u32,
    of_text: u16,
) -> Option<Vec<u16>> {
    let body: Vec<u16> = shown
        .iter()
        .map(|at| body.get(*at).copied().unwrap_or(0))
        .collect();
    let least = shown.iter().zip(headings).zip(&body);
    let mut widths: Vec<u16> = least
        .map(|((at, heading), body)| {
            let word = heading.split(' ').map(width_of).max().unwrap_or(0);
            match columns.get(*at).map(|column| column.show) {
                Some(Show::Text) => word.max((*body).min(of_text)),
                _ => word.max(*body),
            }
        })
        .collect();
    let mut left = room.checked_sub(sum(&widths))?;
    // Spare width goes to texts first, then to headings.
    let whole: Vec<u16> = headings
        .iter()
        .zip(&body)
        .map(|(heading, body)| width_of(heading).max(*body))
        .collect();
    for wanted in [&body, &whole] {
        for (width, wanted) in widths.iter_mut().zip(wanted) {
            let more = u32::from(wanted.saturating_sub(*width)).min(left);
            *width += more as u16;
            left -= more;
        }
    }
    Some(widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::text("topic"),
        Column::number("committed_offset").short("offset"),
        Column::text("member_id").short("member").minor(),
        Column::text("host"),
        Column::number("log_end_offset").short("log end").minor(),
    ];

    fn laid(body: [u16; 5], width: u16) -> String {
        let Some(layout) = lay_out(&COLUMNS, &body, Some(width)) else {
            return "blocks".to_owned();
        };
        let widths = layout.widths.unwrap_or_default();
        let cut = if layout.is_cut { " cut" } else { "" };
        format!("{}{cut} {widths:?}", layout.headings.join(","))
    }

    #[test]
    fn the_gentlest_that_fits_is_done() {
        let body = [10, 5, 22, 8, 5];
        for (width, wanted) in [
            (
                200,
                "TOPIC,COMMITTED OFFSET,MEMBER ID,HOST,LOG END OFFSET []",
            ),
            (
                78,
                "TOPIC,COMMITTED OFFSET,MEMBER ID,HOST,LOG END OFFSET []",
            ),
            (77, "TOPIC,OFFSET,MEMBER,HOST,LOG END []"),
            (61, "TOPIC,OFFSET,MEMBER,HOST,LOG END []"),
            (60, "TOPIC,OFFSET,MEMBER,HOST,LOG END [10, 6, 22, 8, 6]"),
            (58, "TOPIC,OFFSET,MEMBER,HOST cut []"),
            (51, "TOPIC,COMMITTED OFFSET,HOST cut []"),
            (37, "TOPIC,OFFSET,HOST cut []"),
            (27, "blocks"),
        ] {
            assert_eq!(laid(body, width), wanted, "{width}");
        }
    }

    #[test]
    fn a_column_without_a_value_is_left_out_on_a_terminal_only() {
        assert_eq!(
            laid([10, 5, 0, 8, 0], 200),
            "TOPIC,COMMITTED OFFSET,HOST []"
        );
        let all = lay_out(&COLUMNS, &[10, 5, 0, 8, 0], None).expect("laid out");
        assert_eq!(all.columns, [0, 1, 2, 3, 4]);
        // If no row has a value, the headings remain.
        assert!(laid([0; 5], 200).starts_with("TOPIC,COMMITTED OFFSET,MEMBER ID"));
    }

    #[test]
    fn a_long_text_is_broken_last() {
        assert_eq!(laid([60, 5, 0, 8, 0], 60), "TOPIC,OFFSET,HOST [42, 6, 8]");
        assert_eq!(laid([60, 5, 0, 8, 0], 30), "TOPIC,OFFSET,HOST [12, 6, 8]");
        assert_eq!(laid([60, 5, 0, 8, 0], 29), "blocks");
    }
}
