//! `mq-groups check`: a plugin for Nagios and compatible monitors, after the guidelines at
//! <https://nagios-plugins.org/doc/guidelines.html>: one line that sums up, with performance data
//! behind a bar, then a line for each group; the status is the exit status. As in the guidelines, a
//! lag equal to a threshold is still good.

use std::fmt::Write as _;

use super::job::{Check, Threshold};
use crate::cli::check_status::Status;
use crate::cli::stdout::Stdout;
use crate::cli::{Env, Outcome};
use crate::client::groups::{self, GroupDescription};
use crate::error::{Error, Result};

/// The result for one group.
#[derive(Debug)]
struct Finding {
    group: String,
    status: Status,
    text: String,
    lag: Option<Lag>,
}

/// A group's lag: over all partitions, and that of the oldest unread record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lag {
    records: i64,
    /// `None`: a record has no timestamp.
    seconds: Option<i64>,
}

/// Checks groups.
pub fn check(job: &Check, env: &Env) -> Result<Outcome> {
    let findings = match observe(job, env) {
        Ok(findings) => findings,
        Err(e) => return notify_unknown(&e),
    };
    let status = Status::worst(findings.iter().map(|finding| finding.status));
    if let Err(e) = env.stdout().print(text(job, status, &findings).as_bytes()) {
        env.complain(&e);
        // The monitor goes by the status: a warning that was found keeps its status, and nothing
        // else gets that status.
        if status == Status::Ok {
            return Ok(Outcome::Check(Status::Unknown));
        }
    }
    Ok(Outcome::Check(status))
}

/// Prints that the check failed.
pub fn notify_unknown(e: &Error) -> Result<Outcome> {
    let status = Status::Unknown;
    let cure = e
        .cure_text()
        .map_or_else(String::new, |cure| format!("; {cure}"));
    let line = format!(
        "GROUPS {} - {}\n",
        status.word(),
        plain(&format!("{e}{cure}"))
    );
    // If this cannot be printed either, the exit status says it.
    let _ = Stdout::default().print(line.as_bytes());
    Ok(Outcome::Check(status))
}

fn observe(job: &Check, env: &Env) -> Result<Vec<Finding>> {
    let store = env.open_store()?;
    let names = if job.groups.is_empty() {
        groups::list(&store)?
    } else {
        job.groups.clone()
    };
    let one = |group: String| match groups::describe(&store, &group) {
        Ok(seen) => {
            for note in &seen.notes {
                env.warn(note);
            }
            assess(job, seen)
        }
        Err(e) => Finding {
            text: e.to_string(),
            group,
            status: Status::Unknown,
            lag: None,
        },
    };
    Ok(names.into_iter().map(one).collect())
}

fn assess(job: &Check, seen: GroupDescription) -> Finding {
    let (Some(state), Some(members)) = (seen.state, &seen.members) else {
        return Finding {
            status: Status::Unknown,
            text: seen.damage.unwrap_or_default(),
            group: seen.group,
            lag: None,
        };
    };
    let beyond = seen.offsets.iter().find(|row| row.is_beyond);
    let needs_age = [job.warn, job.critical]
        .iter()
        .any(|threshold| matches!(threshold, Some(Threshold::Age(_))));
    let unreadable = seen.offsets.iter().find(|row| {
        // Without a committed offset it is unknown how far a member has read.
        let is_empty = row.high_watermark.is_some() && row.high_watermark == row.log_start_offset;
        let is_known = row.lag.is_some() && !row.is_unreadable;
        let is_untouched = row.committed_offset.is_none() && is_empty;
        !is_known && !is_untouched
    });
    if let Some(row) = beyond.or(unreadable) {
        let why = if row.is_beyond {
            ": the committed offset is beyond the end of the log"
        } else {
            ""
        };
        return Finding {
            status: Status::Unknown,
            text: format!(
                "the lag of {}:{} is not known{why}",
                row.topic, row.partition
            ),
            group: seen.group,
            lag: None,
        };
    }
    let lagging = || seen.offsets.iter().filter(|row| row.lag.is_some());
    // Records without a timestamp still count as records; the known ages are a lower bound.
    let ageless = lagging().find(|row| row.lag_seconds.is_none());
    let oldest = lagging().filter_map(|row| row.lag_seconds).max();
    let oldest = oldest.unwrap_or(0);
    let lag = Lag {
        records: lagging().filter_map(|row| row.lag).sum(),
        seconds: ageless.is_none().then_some(oldest),
    };
    let above =
        |threshold: Option<Threshold>| threshold.is_some_and(|t| t.is_above(lag.records, oldest));
    let mut text = format!(
        "{}, {} members, lag {} records, {}",
        state,
        members.len(),
        lag.records,
        lag.seconds
            .map_or_else(|| "of unknown age".to_owned(), |age| format!("{age} s"))
    );
    let status = if above(job.critical) {
        Status::Critical
    } else if above(job.warn) {
        Status::Warning
    } else if let Some(row) = ageless.filter(|_| needs_age) {
        let _ = write!(
            text,
            "; the age of the lag of {}:{} is not known",
            row.topic, row.partition
        );
        Status::Unknown
    } else {
        Status::Ok
    };
    Finding {
        group: seen.group,
        status,
        text,
        lag: Some(lag),
    }
}

fn text(job: &Check, status: Status, findings: &[Finding]) -> String {
    let mut text = format!("GROUPS {} - ", status.word());
    let bad: Vec<&Finding> = findings.iter().filter(|f| f.status == status).collect();
    match (status, bad.first()) {
        (_, None) => text.push_str("there is no group"),
        (Status::Ok, Some(_)) => {
            let largest = findings
                .iter()
                .filter_map(|f| f.lag)
                .map(|lag| lag.records)
                .max();
            let what = if findings.len() == 1 {
                "group"
            } else {
                "groups"
            };
            let _ = write!(
                text,
                "{} {what}, largest lag {} records",
                findings.len(),
                largest.unwrap_or(0)
            );
        }
        (_, Some(first)) if findings.len() == 1 => {
            let _ = write!(text, "{}: {}", plain(&first.group), plain(&first.text));
        }
        _ => {
            let names: Vec<String> = bad.iter().map(|f| plain(&f.group)).collect();
            let _ = write!(
                text,
                "{} of {} groups: {}",
                bad.len(),
                findings.len(),
                names.join(", ")
            );
        }
    }
    let data: Vec<String> = findings
        .iter()
        .filter_map(|f| performance(job, f))
        .collect();
    if !data.is_empty() {
        let _ = write!(text, " | {}", data.join(" "));
    }
    text.push('\n');
    for finding in findings {
        let _ = writeln!(
            text,
            "{}: {} - {}",
            finding.status.word(),
            plain(&finding.group),
            plain(&finding.text)
        );
    }
    text
}

/// `'billing lag'=5;10;100;0 'billing lag time'=7s;;;0`
fn performance(job: &Check, finding: &Finding) -> Option<String> {
    let lag = finding.lag?;
    let records = |threshold: Option<Threshold>| match threshold {
        Some(Threshold::Records(n)) => n.to_string(),
        _ => String::new(),
    };
    let seconds = |threshold: Option<Threshold>| match threshold {
        Some(Threshold::Age(age)) => age.as_secs_f64().to_string(),
        _ => String::new(),
    };
    let name = label(&finding.group);
    Some(format!(
        "'{name} lag'={};{};{};0 '{name} lag time'={};{};{};0",
        lag.records,
        records(job.warn),
        records(job.critical),
        // `U`, as the guidelines say, for a value that could not be determined.
        lag.seconds
            .map_or_else(|| "U".to_owned(), |age| format!("{age}s")),
        seconds(job.warn),
        seconds(job.critical),
    ))
}

/// In a label `=` is not allowed, and quotes are doubled.
fn label(group: &str) -> String {
    plain(group).replace('=', "_").replace('\'', "''")
}

/// The text in one line, without the bar that begins performance data.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '|' => '/',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn finding(group: &str, status: Status, records: i64) -> Finding {
        Finding {
            group: group.to_owned(),
            status,
            text: "x|y".to_owned(),
            lag: Some(Lag {
                records,
                seconds: Some(7),
            }),
        }
    }

    #[test]
    fn one_line_that_sums_up_then_the_groups() {
        let job = Check {
            groups: Vec::new(),
            warn: Some(Threshold::Records(5)),
            critical: Some(Threshold::Age(Duration::from_secs(90))),
        };
        let findings = [
            finding("it's=1|2", Status::Ok, 3),
            finding("b", Status::Warning, 6),
        ];
        assert_eq!(
            text(&job, Status::Warning, &findings),
            "GROUPS WARNING - 1 of 2 groups: b | \
             'it''s_1/2 lag'=3;5;;0 'it''s_1/2 lag time'=7s;;90;0 \
             'b lag'=6;5;;0 'b lag time'=7s;;90;0\n\
             OK: it's=1/2 - x/y\nWARNING: b - x/y\n"
        );
        assert!(
            text(&job, Status::Unknown, &[]).starts_with("GROUPS UNKNOWN - there is no group\n")
        );
    }

    #[test]
    fn the_worst_counts_and_nothing_is_unknown() {
        use Status::{Critical, Ok, Unknown, Warning};
        for (all, worst) in [
            (&[Ok, Ok][..], Ok),
            (&[Ok, Unknown], Unknown),
            (&[Warning, Unknown], Warning),
            (&[Unknown, Critical, Ok], Critical),
            (&[], Unknown),
        ] {
            assert_eq!(Status::worst(all.iter().copied()), worst, "{all:?}");
        }
    }
}
