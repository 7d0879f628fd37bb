//! The options of one `mq-produce` run, typed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::lang::{InputOptions, OriginText, Renderer};
use crate::client::{ProducerOptions, StoreDir, topics};
use crate::error::{Error, Kind, Result};
use crate::types::{PartitionId, Timestamp, TopicName};

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl AutoCreate {
    /// How many partitions a missing topic gets, if it is created.
    pub fn partitions(self) -> Option<PartitionId> {
        match self {
            AutoCreate::Never => None,
            AutoCreate::WithOne => Some(1),
            AutoCreate::With(partitions) => Some(partitions),
        }
    }
}

impl Source {
    /// The name that was given on the command line.
    pub fn as_given(&self) -> &OsStr {
        match self {
            Source::Stdin => OsStr::new("-"),
            Source::File(path) => path.as_os_str(),
        }
    }

    /// The name in messages.
    pub fn name(&self) -> String {
        match self {
            Source::Stdin => "standard input".to_owned(),
            Source::File(path) => path.display().to_string(),
        }
    }
}

/// What is written to standard output once a record is acknowledged.
#[derive(Debug)]
pub enum Echo {
    /// Nothing.
    Nothing,
    /// The input's bytes.
    Tee,
    /// A template.
    Template(Box<Renderer>),
}

/// Whether a missing topic is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreate {
    /// No.
    Never,
    /// With so many partitions, as requested.
    With(PartitionId),
    /// With one partition, the default.
    WithOne,
}

/// What is added to records.
#[derive(Debug, Default)]
pub struct Added {
    /// The key of records without one.
    pub key: Option<OriginText>,
    /// Headers for every record: name, and value or null.
    pub headers: Vec<(Vec<u8>, Option<OriginText>)>,
}

/// The options of one run.
#[derive(Debug)]
pub struct ProduceJob {
    /// The topic; `None`: each record names its own.
    pub topic: Option<TopicName>,
    /// The inputs, in order.
    pub sources: Arc<[Source]>,
    /// How records are cut out of the inputs. `record_bytes_max` is set once the topic is known.
    pub input: InputOptions,
    /// For records of several lines: once the input was idle for so long, the lines read so far are
    /// a record.
    pub record_idle: Duration,
    /// What is added to records.
    pub added: Arc<Added>,
    /// The partition of every record.
    pub partition: Option<PartitionId>,
    /// Whether a record's own partition is used.
    pub keep_partition: bool,
    /// The timestamp of records without one, in ms.
    pub timestamp: Option<Timestamp>,
    /// How to deliver.
    pub delivery: ProducerOptions,
    /// What is echoed.
    pub echo: Echo,
    /// Whether bad records are skipped (and counted).
    pub skip_bad: bool,
    /// Whether a missing topic is created.
    pub create: AutoCreate,
}

/// Refuses a topic that is missing and is not to be created.
///
/// # Errors
/// [`Kind::UnknownTopic`]; [`Kind::Usage`] if a file name was given in place of the topic.
pub fn check_missing(store: &StoreDir, job: &ProduceJob, name: &TopicName) -> Result<()> {
    if job.create == AutoCreate::Never {
        return Err(topics::unknown(store, name));
    }
    if job.topic.is_some() && Path::new(name.as_str()).exists() {
        return Err(Error::new(
            Kind::Usage,
            format!("'{name}' is no topic yet, but a file here: is the topic's name missing?"),
        )
        .cure(format!(
            "say 'mq-produce TOPIC {name}', or create the topic first: 'mq-topics create {name}'"
        )));
    }
    Ok(())
}
