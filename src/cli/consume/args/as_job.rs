//! From the command line of `mq-consume` to its job.

use std::time::Duration;

use regex::bytes::Regex;

use super::{Args, CommitArg, NULL_IN_JSON, OnMissedArg};
use crate::cli::common::{broker_id, bytes_as_given, usage};
use crate::cli::consume::command::check_command;
use crate::cli::consume::exec::is_source;
use crate::cli::consume::filter::{Filter, HeaderIs};
use crate::cli::consume::job::{ConsumeJob, ExecJob, GroupJob, Topics};
use crate::cli::lang::{
    Delimiter, Format, Framing, FramingOptions, Now, Renderer, Template, parse_duration,
    parse_partitions, parse_selection,
};
use crate::cli::pattern::{NamePattern, bad_regex};
use crate::cli::topic_selection::TopicSelection as Named;
use crate::client::unresolved_offset::ReadRanges;
use crate::client::{CommitWhen, ReadFrom, stores};
use crate::error::Result;
use crate::timing::{COMMIT_INTERVAL, SESSION_TIMEOUT, SESSION_TIMEOUT_MIN};
use crate::types::TopicName;

impl Args {
    /// Makes the job, and checks everything that can be checked without the store.
    pub(super) fn job(self, now: &Now) -> Result<ConsumeJob> {
        let framing = FramingOptions {
            format: self.format.as_deref(),
            json: self.json,
            delimiter: self.delimiter.as_deref(),
            nul: self.nul,
        };
        let format = match framing.parse()? {
            Framing::Format(format) => format,
            Framing::Ended(delimiter) => {
                let key = self
                    .key_delimiter
                    .as_deref()
                    .map(|k| Delimiter::parse("-K", k))
                    .transpose()?;
                Format::Template(Template::lines(&delimiter, key.as_ref()))
            }
        };
        if self.null_marker.is_some() {
            check_marker(&format)?;
        }
        let marker = self
            .null_marker
            .map(|text| bytes_as_given("--null-marker", text))
            .transpose()?;
        let renderer = Renderer::new(format, marker.as_deref(), now.zone.clone());
        let filter = Filter {
            key: self
                .key
                .map(|key| bytes_as_given("--key", key))
                .transpose()?,
            key_regex: regex("--key-regex", self.key_regex.as_deref())?,
            headers: self
                .headers
                .into_iter()
                .map(HeaderIs::parse)
                .collect::<Result<_>>()?,
            grep: regex("--grep", self.grep.as_deref())?,
            invert: self.invert_match,
            no_tombstones: self.no_tombstones,
        };
        let selection = self
            .offset
            .as_deref()
            .map(|o| parse_selection(o, now))
            .transpose()?;
        if self.group.is_some() && matches!(selection, Some(ReadRanges::Each(_))) {
            return Err(usage(
                "a group reads all partitions: -o cannot name them with -g",
                "say -o A:B for all, or read without -g",
            ));
        }
        if self.partitions.is_some() && matches!(selection, Some(ReadRanges::Each(_))) {
            return Err(usage(
                "-p and -o both name partitions",
                "name them in one of the two",
            ));
        }
        if self.commit_interval.is_some() && self.commit != CommitArg::AfterWrite {
            return Err(usage(
                "--commit-interval is for --commit after-write: nothing is committed on the way",
                "leave one of the two out",
            ));
        }
        let interval = match &self.commit_interval {
            None => COMMIT_INTERVAL,
            Some(interval) => parse_duration(interval)?.max(Duration::from_millis(1)),
        };
        let (topics, named) = topics(&self.topics, self.regex)?;
        if named.has_partitions() {
            let by_option = self.partitions.is_some();
            if by_option || matches!(selection, Some(ReadRanges::Each(_))) {
                let option = if by_option { "-p" } else { "-o" };
                return Err(usage(
                    format!("{option} and T:P both name partitions"),
                    "name them in one of the two",
                ));
            }
            if self.group.is_some() {
                return Err(usage(
                    "a group reads all partitions: T:P cannot name them with -g",
                    "name the topic alone, or read without -g",
                ));
            }
        }
        let session_timeout = match &self.session_timeout {
            None => SESSION_TIMEOUT,
            Some(timeout) => parse_duration(timeout)?,
        };
        if session_timeout < SESSION_TIMEOUT_MIN {
            return Err(usage(
                "--session-timeout is shorter than 500ms",
                "a member on a busy machine would be taken for dead: use 500ms or more",
            ));
        }
        if self.instance_id.as_deref() == Some("") {
            return Err(usage("--instance-id is empty", "name the member"));
        }
        let exec = match self.exec {
            None => None,
            Some(command) => Some(exec_job(
                command,
                self.batch,
                self.retries,
                self.dead_letter.as_deref(),
                &topics,
            )?),
        };
        let group = match self.group {
            None => None,
            Some(name) => {
                stores::group_dir(&name)?;
                Some(GroupJob {
                    name,
                    assignor: self.assignor,
                    instance_id: self.instance_id,
                    session_timeout,
                    exec,
                    commit: match self.commit {
                        CommitArg::AfterWrite => CommitWhen::AfterWrite,
                        CommitArg::OnExit => CommitWhen::OnExit,
                        CommitArg::Never => CommitWhen::Never,
                    },
                    interval,
                })
            }
        };
        if group.is_none() && points_to_stored(selection.as_ref()) {
            return Err(usage(
                "'stored' is a group's committed offset",
                "name the group with -g",
            ));
        }
        Ok(ConsumeJob {
            topics,
            named,
            wait: self.wait,
            partitions: self
                .partitions
                .as_deref()
                .map(parse_partitions)
                .transpose()?,
            selection,
            read_from: read_from(self.replica.as_deref(), self.rack)?,
            to_end: self.end,
            count: self.count,
            tail: self.tail,
            fails_on_missed: self.on_missed == OnMissedArg::Fail,
            idle_timeout: self
                .idle_timeout
                .as_deref()
                .map(parse_duration)
                .transpose()?,
            filter,
            renderer,
            raw: self.raw,
            fail_if_empty: self.fail_if_empty,
            group,
        })
    }
}

/// Compiles an option's regular expression.
fn regex(option: &str, text: Option<&str>) -> Result<Option<Regex>> {
    let parse = |text| Regex::new(text).map_err(|e| bad_regex(option, text, &e));
    text.map(parse).transpose()
}

/// Refuses a null marker for an output in which it would never appear.
fn check_marker(format: &Format) -> Result<()> {
    match format {
        Format::Json => Err(NULL_IN_JSON.refusal()),
        Format::Template(template) if !template.prints_null_marker() => Err(usage(
            "--null-marker does not apply to this template: no null prints as it",
            "leave it out, or use a field such as %k or %v (without {json}, {escape} or its length)",
        )),
        Format::Template(_) => Ok(()),
    }
}

fn read_from(replica: Option<&str>, rack: Option<String>) -> Result<ReadFrom> {
    match (replica, rack) {
        (Some(replica), _) => broker_id(replica).map(ReadFrom::Replica),
        (None, Some(rack)) if rack.is_empty() => {
            Err(usage("--rack is empty", "name a rack: 'mq-broker list'"))
        }
        (None, Some(rack)) => Ok(ReadFrom::Rack(rack)),
        (None, None) => Ok(ReadFrom::Leader),
    }
}

fn exec_job(
    command: String,
    batch: Option<u64>,
    retries: Option<u32>,
    dead_letter: Option<&str>,
    sources: &Topics,
) -> Result<ExecJob> {
    if batch == Some(0) {
        return Err(usage("--batch 0 hands out nothing", "use 1 or more"));
    }
    let dead_letter = dead_letter.map(TopicName::new).transpose()?;
    if let Some(topic) = &dead_letter
        && sources.subscription().matcher()?.matches(topic)
    {
        return Err(is_source(topic.as_str()));
    }
    check_command(&command)?;
    Ok(ExecJob {
        command,
        batch: batch.unwrap_or(1),
        retries: retries.unwrap_or(0),
        dead_letter,
    })
}

fn points_to_stored(selection: Option<&ReadRanges>) -> bool {
    use crate::client::unresolved_offset::UnresolvedOffset;
    let stored = |range: &crate::client::unresolved_offset::UnresolvedRange| {
        range.from == Some(UnresolvedOffset::Stored) || range.to == Some(UnresolvedOffset::Stored)
    };
    match selection {
        None => false,
        Some(ReadRanges::All(range)) => stored(range),
        Some(ReadRanges::Each(each)) => each.iter().any(|(_, range)| stored(range)),
    }
}

/// The topics, and the partitions that were named with them.
fn topics(args: &[String], regex: bool) -> Result<(Topics, Named)> {
    if regex {
        let patterns = args.iter().map(|arg| NamePattern::regex("-r", arg));
        let topics = Topics::Matching(patterns.collect::<Result<_>>()?);
        return Ok((topics, Named::default()));
    }
    let named = Named::parse(args)?;
    if named.has_globs() {
        let patterns = named.patterns().cloned().collect();
        return Ok((Topics::Matching(patterns), named));
    }
    let names = named.patterns().map(|name| TopicName::new(name.text()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort_unstable();
    names.dedup();
    Ok((Topics::Names(names), named))
}

#[cfg(test)]
mod tests;
