//! `store.json`: what makes a directory a store.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{json_file, layout};
use crate::disk::{Dir, join};
use crate::error::{Error, Kind, Result};
use crate::types::Uuid;

/// The format version of a new store: `super::format` says what raises it.
pub const FORMAT_VERSION: u32 = 1;
/// The newest format version that this program reads.
const FORMAT_VERSION_NEWEST: u32 = 2;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreFile {
    /// Rises when an older program could misread the store.
    pub format_version: u32,
    /// Random, created with the store, as in Kafka.
    pub cluster_id: Uuid,
}

/// The only part of a file that is read before its version is known.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl StoreFile {
    /// For a new store.
    pub fn new(cluster_id: Uuid) -> Self {
        StoreFile {
            format_version: FORMAT_VERSION,
            cluster_id,
        }
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        json_file::encode(self)
    }

    /// Reads the file in the store's directory; `None` if there is none.
    ///
    /// # Errors
    /// [`Kind::UnusableStore`] for a newer format, and for a file that may not be read;
    /// [`Kind::Damaged`]; [`Kind::Io`].
    pub fn read_if_there(dir: &dyn Dir) -> Result<Option<Self>> {
        let bytes = match json_file::read_bytes(dir, layout::STORE_FILE) {
            Ok((bytes, _)) => bytes,
            Err(e) if json_file::is_missing(&e) => return Ok(None),
            Err(e) => return Err(unusable_file(e)),
        };
        let place = join(dir, layout::STORE_FILE);
        let Version { format_version } = json_file::decode(&bytes, place.display())?;
        if format_version > FORMAT_VERSION_NEWEST {
            return Err(Error::new(
                Kind::UnusableStore,
                format!(
                    "{} is a store of format version {format_version}; this program knows up to \
                     {FORMAT_VERSION_NEWEST}",
                    dir.path().display()
                ),
            )
            .cure("use the newer mq that wrote it"));
        }
        json_file::decode(&bytes, place.display()).map(Some)
    }
}

/// The error for a path without a store.
pub(crate) fn no_store(path: &Path) -> Error {
    Error::new(
        Kind::NoStore,
        format!("there is no store at {}", path.display()),
    )
    .cure(
        "name another with --store or MQ_STORE; the first mq-produce, mq-topics create or mq-broker \
         start makes one",
    )
}

/// The error for a directory that has files, but is no store.
pub(crate) fn not_a_store(dir: &dyn Dir) -> Error {
    Error::new(
        Kind::UnusableStore,
        format!(
            "{} is not a store: it has files, but no store.json",
            dir.path().display()
        ),
    )
    .cure(
        "name the store's directory with --store or MQ_STORE; a new store needs an empty directory, or \
         a path where nothing is",
    )
}

/// The same error as [`Kind::UnusableStore`] if the file is of the wrong kind or may not be read:
/// neither is damage, and neither goes away by itself.
fn unusable_file(error: Error) -> Error {
    match error.io_source().map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied) => error
            .with_kind(Kind::UnusableStore)
            .cure("run as the user who owns the store"),
        Some(io::ErrorKind::Other | io::ErrorKind::NotADirectory) => error
            .with_kind(Kind::UnusableStore)
            .cure("put a plain file in its place: mq follows no links within a store"),
        _ => error,
    }
}
