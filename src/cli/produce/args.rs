//! The command line of `mq-produce`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::hints;
use super::job::{Added, AutoCreate, Echo, Job, Source};
use crate::cli::common::{Common, bytes_as_given, usage};
use crate::cli::lang::{
    Delimiter, FIELDS_HELP, Format, Framing, FramingOptions, InputFormat, InputOptions, MissingKey,
    MultiLine, Now, OriginText, Renderer, parse_count, parse_duration, parse_size, parse_time,
    parse_topic_partition, shown, tsv_field,
};
use crate::cli::pattern::bad_regex;
use crate::cli::rules::How;
use crate::cli::{Env, Outcome, Rule, Tool};
use crate::client::{Acks, Keyless, ProducerOptions};
use crate::error::{Error, Kind, Result};
use crate::record::Partitioner;
use crate::types::{Compression, PARTITIONS_MAX, PartitionId, TopicName};

/// Send lines, files or JSON into a topic
///
/// Reads records from standard input, or from files in order, and stores them in a topic. By
/// default each line is a record. Exit status 0 means that every record was acknowledged; by
/// default, that it is on disk.
#[derive(Debug, clap::Parser)]
#[command(name = "mq-produce", version, after_help = EXAMPLES, after_long_help = format!("{FIELDS_HELP}\n\n{EXAMPLES}"), max_term_width = 100)]
pub struct Args {
    /// The topic, created if it does not exist; TOPIC:P is its partition P, as -p P
    #[arg(value_name = "TOPIC", required_unless_present = "each_topic")]
    topic: Option<OsString>,
    /// Files to read, in order; - is standard input [default: -]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// What ends a record, with escapes \n \t \r \0 \\ \xNN [default: \n]
    #[arg(short = 'D', value_name = "DELIM", help_heading = "Input", conflicts_with_all = ["nul", "whole", "json", "format"])]
    delimiter: Option<String>,
    /// Records end with NUL, as from find -print0
    #[arg(short = '0', long = "null", help_heading = "Input", conflicts_with_all = ["whole", "json", "format"])]
    nul: bool,
    /// Each input, a file or standard input, is one record
    #[arg(long, help_heading = "Input", conflicts_with_all = ["json", "format"])]
    whole: bool,
    /// Each line is a record as mq-consume -J prints it; only "value" is required
    #[arg(short = 'J', long, help_heading = "Input", conflicts_with = "format")]
    json: bool,
    /// A record begins with each line in which REGEX is found, so that a stack trace is one record.
    /// A record also ends when the input is idle for --linger (default 1s)
    #[arg(long, value_name = "REGEX", help_heading = "Input", conflicts_with_all = ["whole", "json", "format"])]
    begins: Option<String>,
    /// Most lines of a record with --begins; a longer record is split
    #[arg(long, value_name = "N", value_parser = parse_count::<u64>, help_heading = "Input", requires = "begins")]
    max_lines: Option<u64>,
    /// Read lines as another tool writes them: kcat -J, or Kafka's console tools with headers and
    /// key (HEADERS TAB KEY TAB VALUE)
    #[arg(long, value_name = "TOOL", help_heading = "Input", conflicts_with_all = ["delimiter", "nul", "whole", "json", "format", "key_delimiter", "begins"])]
    input_format: Option<OtherTool>,
    /// Send each record to the topic named in it (-J, --input-format kcat). Do not give TOPIC then
    #[arg(long, help_heading = "Input")]
    each_topic: bool,
    /// Read the input by a template such as '%k=%v\n' (fields: --help, mq(7))
    #[arg(short, long, value_name = "TEMPLATE", help_heading = "Input")]
    format: Option<String>,
    /// Each record begins with its key; this delimiter ends the key
    #[arg(short = 'K', value_name = "DELIM", help_heading = "Input", conflicts_with_all = ["json", "format"])]
    key_delimiter: Option<String>,
    /// What to do with a record in which -K finds no key
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Input",
        requires = "key_delimiter",
        default_value = "fail"
    )]
    on_missing_key: OnMissingKey,
    /// Key of records that have none; it may contain %{file}, %{name} (the file without folder) and
    /// %{line}: where the record came from
    #[arg(short, long, value_name = "KEY", help_heading = "Input")]
    key: Option<OsString>,
    /// Add a header to every record (repeatable). VALUE may contain the same fields; without = its
    /// value is null
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME[=VALUE]",
        help_heading = "Input"
    )]
    headers: Vec<OsString>,
    /// An empty value is null: a tombstone
    #[arg(short = 'Z', long, help_heading = "Input")]
    empty_is_null: bool,
    /// A key or value that is exactly this text is null
    #[arg(long, value_name = "TEXT", help_heading = "Input")]
    null_marker: Option<OsString>,
    /// Skip empty records
    #[arg(long, help_heading = "Input")]
    skip_empty: bool,

    /// Send every record to this partition
    #[arg(short, long, value_name = "N", value_parser = parse_count::<PartitionId>, help_heading = "Placement", conflicts_with_all = ["keep_partition", "partitioner", "keyless"])]
    partition: Option<PartitionId>,
    /// Send each record to the partition named in it (-J, %p). For a copy, create the topic first:
    /// 'mq-topics create NEW --like OLD'
    #[arg(long, help_heading = "Placement")]
    keep_partition: bool,
    /// The hash that maps keys to partitions
    #[arg(
        long,
        value_name = "HASH",
        help_heading = "Placement",
        default_value = "murmur2"
    )]
    partitioner: Partitioner,
    /// How records without a key are spread over the partitions
    #[arg(
        long,
        value_name = "HOW",
        help_heading = "Placement",
        default_value = "round-robin"
    )]
    keyless: Keyless,
    /// The timestamp of records that have none [default: now]
    #[arg(long, value_name = "TIME", help_heading = "Placement")]
    timestamp: Option<String>,

    /// Who must acknowledge a record: nobody, the leader, or every in-sync replica
    #[arg(
        long,
        value_name = "ACKS",
        help_heading = "Delivery",
        default_value = "all"
    )]
    acks: Acks,
    /// How to compress batches
    #[arg(
        short = 'z',
        long,
        value_name = "CODEC",
        help_heading = "Delivery",
        default_value = "none"
    )]
    compression: Compression,
    /// How long to keep trying for a lock, a leader, or enough in-sync replicas
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = "Delivery",
        default_value = "30s"
    )]
    timeout: String,
    /// Send a batch when it reaches this size
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = "Delivery",
        default_value = "1MiB"
    )]
    batch_size: String,
    /// How long to wait for more records of a batch while the input is idle [default: 0ms]
    #[arg(long, value_name = "DURATION", help_heading = "Delivery")]
    linger: Option<String>,
    /// Fail if the topic is missing
    #[arg(long, help_heading = "Delivery", conflicts_with = "create_partitions")]
    no_create: bool,
    /// How many partitions to create a missing topic with [default: 1]
    #[arg(long, value_name = "N", value_parser = parse_count::<PartitionId>, help_heading = "Delivery")]
    create_partitions: Option<PartitionId>,

    /// Copy each record's input bytes to standard output once the record is acknowledged. If the
    /// reader of that output exits, a note says so, and mq-produce goes on
    #[arg(short = 'T', long, help_heading = "Echo", conflicts_with = "echo")]
    tee: bool,
    /// Print a template for each acknowledged record, such as '%p %o\n'
    #[arg(short = 'o', long, value_name = "TEMPLATE", help_heading = "Echo")]
    echo: Option<String>,
    /// What to do with a bad record
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Echo",
        default_value = "fail"
    )]
    on_error: OnError,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnMissingKey {
    /// End the run
    Fail,
    /// Store it with a null key
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OtherTool {
    /// kcat -J: fields payload and ts, headers as one flat list
    Kcat,
    /// kafka-console-producer with parse.headers and parse.key
    Console,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// End the run
    Fail,
    /// Skip it and go on; the exit status is then 1
    Skip,
}

/// A batch is gathered in memory: beyond this nothing gets faster.
const BATCH_BYTES_MAX: usize = 1 << 30;
/// How long the input is idle until the lines at hand are a record, unless --linger says so.
const RECORD_IDLE: Duration = Duration::from_secs(1);
/// How far appends may be ahead of their acknowledgements.
const UNACKNOWLEDGED_BYTES_MAX: usize = 128 << 20;

const EXAMPLES: &str = "\
Examples:
  seq 1000 | mq-produce numbers                      a record for each line
  mq-produce logs /var/log/syslog                    a file's lines
  tail -F app.log | mq-produce logs                  each line as it comes
  echo 'user1=hello' | mq-produce -K = chat          key and value
  jq -c '{key:(.id|tostring),value:tojson}' in.json | mq-produce -J orders
  mq-topics create b --like a && mq-consume -J -e a | mq-produce -J --keep-partition b
  mq-consume -J -e a b | mq-produce --store copy -J --each-topic
  seq 3 | mq-produce -o '%p %o\\n' numbers            where each record went
  find . -print0 | mq-produce -0 paths
  mq-produce --begins '^[0-9]{4}-' logs app.log      a stack trace is one record";

/// What names the partition, or the topic, of each record.
const EACH_NAMED_BY: How = How::Needs(&["json", "format", "input_format"]);

const KEEP_PARTITION: Rule = Rule {
    command: "",
    arg: "keep_partition",
    how: EACH_NAMED_BY,
    what: "--keep-partition needs records that name their partition",
    cure: "use it with -J, or with a template (-f) that has %p",
};

const EACH_TOPIC: Rule = Rule {
    command: "",
    arg: "each_topic",
    how: EACH_NAMED_BY,
    what: "--each-topic needs records that name their topic",
    cure: "use it with -J; without it, name the topic: mq-produce TOPIC",
};

/// All arguments are files then: the first one, too.
const NO_TOPIC: Rule = Rule {
    command: "",
    arg: "each_topic",
    how: How::RefusesAsRead(&["topic"]),
    what: "--each-topic has no TOPIC argument",
    cure: "with --each-topic all arguments are files: each record names its topic",
};

const RULES: &[Rule] = &[KEEP_PARTITION, EACH_TOPIC, NO_TOPIC];

impl Tool for Args {
    const NAME: &'static str = "mq-produce";

    fn rules() -> &'static [Rule] {
        RULES
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        let now = env.now();
        let notes = hints::notes(&self.headers, [&self.format, &self.echo]);
        let job = self.job(now)?;
        for note in notes {
            env.note(&note);
        }
        super::run::run(job, env)
    }
}

impl Args {
    /// What is asked for, typed; everything that can be checked without the store is.
    fn job(self, now: Now) -> Result<Job> {
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
            // More than a library's: longer syncs are fewer, and with one replica nothing of what is not
            // acknowledged is kept in memory.
            unacknowledged_bytes_max: UNACKNOWLEDGED_BYTES_MAX,
            ..ProducerOptions::default()
        };
        let echo = match &self.echo {
            _ if self.tee => Echo::Tee,
            None => Echo::Nothing,
            Some(template) => {
                let format = Format::parse(template)?;
                if matches!(&format, Format::Template(template) if template.tells_edges()) {
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
        // A template that cannot be read is refused before the store is touched.
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
        Ok(Job {
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

/// The name is text, as in Kafka; the value is whatever was given, or null.
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

/// Refuses fields that name a file where there is none.
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
#[path = "args_tests.rs"]
mod tests;
