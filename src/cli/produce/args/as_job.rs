//! From the command line of `mq-produce` to its job.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::{Args, EACH_TOPIC, KEEP_PARTITION, NO_TOPIC, OnError, OnMissingKey, OtherTool};
use crate::cli::common::{bytes_as_given, usage};
use crate::cli::lang::{
    Delimiter, Format, Framing, FramingOptions, InputFormat, InputOptions, MissingKey, MultiLine,
    Now, OriginText, Renderer, parse_duration, parse_size, parse_time, parse_topic_partition,
    shown, tsv_field,
};
use crate::cli::pattern::bad_regex;
use crate::cli::produce::hints;
use crate::cli::produce::job::{Added, AutoCreate, Echo, ProduceJob, Source};
use crate::client::ProducerOptions;
use crate::error::{Error, Kind, Result};
use crate::types::{PARTITIONS_MAX, PartitionId, TopicName};

/// A batch is built in memory: a larger limit makes nothing faster.
const BATCH_BYTES_MAX: usize = 1 << 30;
/// The default of `--linger` where a record has several lines: once the input was idle for so long,
/// the lines read so far are a record.
const RECORD_IDLE: Duration = Duration::from_secs(1);
/// The most bytes that may be appended and not yet acknowledged.
const UNACKNOWLEDGED_BYTES_MAX: usize = 128 << 20;

impl Args {
    /// Makes the job, and checks everything that can be checked without the store.
    pub(super) fn job(self, now: Now) -> Result<ProduceJob> {
        let by_default_lines = self.delimiter.is_none() && !self.nul;
        let (named, first) = if self.each_topic {
            (None, self.topic.map(PathBuf::from))
        } else {
            (self.topic.map(topic_name).transpose()?, None)
        };
        let (topic, partition) = match named {
            Some((topic, partition)) => (Some(topic), partition),
            None => (None, None),
        };
        if partition.is_some() && (self.partition.is_some() || self.keep_partition) {
            let option = if self.keep_partition {
                "--keep-partition"
            } else {
                "-p"
            };
            return Err(usage(
                format!("{option} and TOPIC:P both name a partition"),
                "name it in one of the two",
            ));
        }
        let framing = FramingOptions {
            format: self.format.as_deref(),
            json: self.json,
            delimiter: self.delimiter.as_deref(),
            nul: self.nul,
        };
        let format = match framing.parse()? {
            _ if self.whole => InputFormat::Whole,
            _ if self.input_format == Some(OtherTool::Kcat) => InputFormat::Kcat,
            _ if self.input_format == Some(OtherTool::Console) => InputFormat::Console,
            Framing::Format(Format::Json) => InputFormat::Json,
            Framing::Format(Format::Template(template)) => InputFormat::Template(template),
            Framing::Ended(delimiter) => match &self.begins {
                Some(begins) => InputFormat::MultiLine(MultiLine {
                    delimiter,
                    begins: Regex::new(begins).map_err(|e| bad_regex("--begins", begins, &e))?,
                    lines_max: self.max_lines,
                }),
                None => InputFormat::Lines(delimiter),
            },
        };
        if self.max_lines == Some(0) {
            return Err(usage(
                "--max-lines is at least 1",
                "leave it out where a record may have any number of lines",
            ));
        }
        let linger = self.linger.as_deref().map(parse_duration).transpose()?;
        let key_delimiter = self
            .key_delimiter
            .map(|delimiter| Delimiter::parse("-K", &delimiter))
            .transpose()?;
        let is_envelope = matches!(format, InputFormat::Json | InputFormat::Kcat);
        let names_partition = match &format {
            InputFormat::Template(template) => template.names_partition(),
            _ => is_envelope,
        };
        if self.keep_partition && !names_partition {
            return Err(KEEP_PARTITION.refusal());
        }
        if self.each_topic && !is_envelope {
            return Err(EACH_TOPIC.refusal());
        }
        let is_bad = |n: &PartitionId| !(1..=PARTITIONS_MAX).contains(n);
        if let Some(partitions) = self.create_partitions.filter(is_bad) {
            return Err(usage(
                format!("{partitions} is not a number of partitions"),
                format!("use 1 to {PARTITIONS_MAX}"),
            ));
        }
        let timestamp = self
            .timestamp
            .map(|time| parse_time(&time, &now))
            .transpose()?;
        let key = self.key.map(|key| bytes_as_given("-k", key)).transpose()?;
        let headers = self
            .headers
            .into_iter()
            .map(header)
            .collect::<Result<_>>()?;
        let batch_bytes = usize::try_from(parse_size(&self.batch_size)?).unwrap_or(usize::MAX);
        if batch_bytes < 1024 {
            return Err(usage("--batch-size is at least 1KiB", "say 16KiB, or 1MiB"));
        }
        if batch_bytes > BATCH_BYTES_MAX {
            return Err(usage("--batch-size is at most 1GiB", "say 16KiB, or 1MiB"));
        }
        let delivery = ProducerOptions {
            acks: self.acks,
            compression: self.compression,
            batch_bytes,
            linger: linger.unwrap_or_default(),
            timeout: parse_duration(&self.timeout)?.max(Duration::from_millis(1)),
            partitioner: self.partitioner,
            keyless: self.keyless,
            // More than the library's default: longer syncs are fewer, and with one replica
            // unacknowledged records are not kept in memory.
            unacknowledged_bytes_max: UNACKNOWLEDGED_BYTES_MAX,
            ..ProducerOptions::default()
        };
        let echo = match &self.echo {
            _ if self.tee => Echo::Tee,
            None => Echo::Nothing,
            Some(template) => {
                let format = Format::parse(template)?;
                if matches!(&format, Format::Template(template) if template.notifies_edges()) {
                    return Err(usage(
                        "%w and %W are not known of a record that is sent",
                        "use them in mq-consume -f; 'mq-topics offsets' shows both",
                    ));
                }
                Echo::Template(Box::new(Renderer::new(format, None, now.zone.clone())))
            }
        };
        let input = InputOptions {
            format,
            key_delimiter,
            missing_key: match self.on_missing_key {
                OnMissingKey::Fail => MissingKey::Fail,
                OnMissingKey::Null => MissingKey::Null,
            },
            empty_is_null: self.empty_is_null,
            null_marker: self
                .null_marker
                .map(|text| bytes_as_given("--null-marker", text))
                .transpose()?,
            skip_empty: self.skip_empty,
            record_bytes_max: 1 << 20,
            now,
        };
        let is_lines = by_default_lines
            && matches!(
                input.format,
                InputFormat::Lines(_) | InputFormat::MultiLine(_)
            );
        // An invalid template is refused before the store is opened.
        crate::cli::lang::RecordParser::new(input.clone())?;
        let files: Vec<PathBuf> = first.into_iter().chain(self.files).collect();
        let sources = if files.is_empty() {
            vec![Source::Stdin]
        } else {
            let source = |path: PathBuf| {
                if path.as_os_str() == "-" {
                    Source::Stdin
                } else {
                    Source::File(path)
                }
            };
            files.into_iter().map(source).collect()
        };
        let added = Added {
            key: key.map(|key| OriginText::parse("-k", &key)).transpose()?,
            headers,
        };
        check_origins(&added, &sources)?;
        let typed = topic.as_ref().map(|topic| match partition {
            Some(partition) => format!("{topic}:{partition}"),
            None => topic.to_string(),
        });
        for (at, source) in sources.iter().enumerate() {
            let Source::File(path) = source else { continue };
            match std::fs::metadata(path) {
                Ok(of) if is_lines && of.is_file() => {
                    hints::refuse_compressed(path, typed.as_deref())?;
                }
                Ok(_) => {}
                Err(e) => {
                    let is_topic = at == 0 && e.kind() == std::io::ErrorKind::NotFound;
                    let error = Error::io("open", path, e).at("nothing was stored");
                    return Err(match error.cure_text() {
                        _ if self.each_topic && is_topic => {
                            error.with_kind(Kind::Usage).cure(NO_TOPIC.cure)
                        }
                        _ if self.each_topic => error.cure(NO_TOPIC.cure),
                        Some(_) => error,
                        None => error.cure(hints::no_file(path, typed.as_deref())),
                    });
                }
            }
        }
        Ok(ProduceJob {
            topic,
            sources: sources.into(),
            input,
            record_idle: linger.unwrap_or(RECORD_IDLE),
            added: Arc::new(added),
            partition: self.partition.or(partition),
            keep_partition: self.keep_partition,
            timestamp,
            delivery,
            echo,
            skip_bad: self.on_error == OnError::Skip,
            create: match self.create_partitions {
                _ if self.no_create => AutoCreate::Never,
                Some(partitions) => AutoCreate::With(partitions),
                None => AutoCreate::WithOne,
            },
        })
    }
}

/// `TOPIC`, or `TOPIC:P`.
fn topic_name(given: OsString) -> Result<(TopicName, Option<PartitionId>)> {
    let text = given.into_string().map_err(|given| {
        let mut shown = Vec::new();
        tsv_field(given.as_encoded_bytes(), &mut shown);
        usage(
            format!("'{}' is not UTF-8", String::from_utf8_lossy(&shown)),
            "names of topics are UTF-8",
        )
    })?;
    if text.contains(':') {
        let tp = parse_topic_partition(&text)?;
        return Ok((tp.topic, Some(tp.partition)));
    }
    Ok((TopicName::new(text)?, None))
}

/// A header's name is text, as in Kafka; its value is any bytes, or null.
fn header(given: OsString) -> Result<(Vec<u8>, Option<OriginText>)> {
    let bytes = bytes_as_given("-H", given.clone())?;
    let equals = memchr::memchr(b'=', &bytes);
    let (name, value) = bytes.split_at(equals.unwrap_or(bytes.len()));
    let refuse = |what: &str| {
        usage(
            format!("'{}' {what}", shown(&given.to_string_lossy())),
            "say -H NAME=VALUE, or -H NAME for null; the name is UTF-8, the value may be empty",
        )
    };
    if bytes.is_empty() {
        return Err(refuse("is not a header"));
    }
    if std::str::from_utf8(name).is_err() {
        return Err(refuse("has a name that is not UTF-8"));
    }
    let value = value.strip_prefix(b"=");
    let value = value
        .map(|value| OriginText::parse("-H", value))
        .transpose()?;
    Ok((name.to_vec(), value))
}

/// Refuses fields that name the input file where there is none.
fn check_origins(added: &Added, sources: &[Source]) -> Result<()> {
    let texts = added.headers.iter().filter_map(|(_, value)| value.as_ref());
    let mut texts = texts.chain(&added.key);
    if texts.any(OriginText::names_file) && sources.iter().all(|one| *one == Source::Stdin) {
        return Err(usage(
            "%{file} and %{name} need files: standard input has no name",
            "name the files behind the topic: mq-produce TOPIC FILE...",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
