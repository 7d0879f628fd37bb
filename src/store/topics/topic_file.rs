//! Topic files: `topics/NAME.json`. Only this file says which partitions a topic has, and each
//! one's leader, leader epoch and replica directories (broker and replica uuid).

use std::sync::Arc;

use super::known_topic::KnownTopic;
use super::topic_meta::TopicMeta;
use crate::disk::{EntryKind, join};
use crate::error::{Error, Kind, Result, did_you_mean, near_names};
use crate::store::dir::StoreDir;
use crate::store::file_cache::CachedFile;
use crate::store::lock::FencedGuard;
use crate::store::{json_file, layout};
use crate::types::TopicName;

impl KnownTopic {
    /// Reads the topic file, unless the cached content is current; `None` if there is no such
    /// topic.
    ///
    /// # Errors
    /// [`Damaged`](crate::error::Kind::Damaged), [`Io`](crate::error::Kind::Io).
    pub fn open(store: &StoreDir, name: &TopicName) -> Result<Option<Self>> {
        if let Some(known) = KnownTopic::kept(store.open_topics(), name)? {
            return Ok(Some(known));
        }
        let read = load(store, name)?;
        Ok(read.map(|(meta, file)| KnownTopic::keep(store.open_topics(), name, meta, file)))
    }
}

/// Reads the file; `None` if there is none.
fn load(store: &StoreDir, name: &TopicName) -> Result<Option<(TopicMeta, TopicFile)>> {
    let dir = store.topics_dir()?;
    let path = layout::topic_file(name);
    let (bytes, file) = match json_file::read_bytes(&**dir, &path) {
        Ok(read) => read,
        Err(e) if json_file::is_missing(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let place = join(&**dir, &path);
    let meta = TopicMeta::decode(&bytes, name, &place).map_err(|e| {
        e.cure(format!(
            "restore it from a backup, or 'mq-topics delete {name}': that sets the file aside and \
             keeps the data"
        ))
    })?;
    Ok(Some((meta, CachedFile::new(dir, path, file))))
}

/// A topic file that was read, so that it can be told from its successors.
pub type TopicFile = CachedFile;

/// Reads a topic, unless the cached content is current: a caller that visits its partitions reads
/// it once.
///
/// # Errors
/// [`Kind::UnknownTopic`] with near names, [`Kind::Damaged`].
pub fn read(store: &StoreDir, name: &TopicName) -> Result<(Arc<TopicMeta>, TopicFile)> {
    match read_if_there(store, name)? {
        Some(found) => Ok(found),
        None => Err(unknown(store, name)),
    }
}

/// As [`read`]; `None` if there is no such topic.
pub fn read_if_there(
    store: &StoreDir,
    name: &TopicName,
) -> Result<Option<(Arc<TopicMeta>, TopicFile)>> {
    let known = KnownTopic::open(store, name)?;
    Ok(known.map(|topic| (Arc::clone(topic.meta()), topic.file().clone())))
}

/// A copy of what [`read`] returns, to be changed and written again.
///
/// # Errors
/// As [`read`].
pub fn read_to_change(store: &StoreDir, name: &TopicName) -> Result<TopicMeta> {
    read(store, name).map(|(meta, _)| Arc::unwrap_or_clone(meta))
}

/// The names of all topics, sorted.
pub fn list(store: &StoreDir) -> Result<Vec<TopicName>> {
    let dir = store.topics_dir()?;
    let entries = dir
        .list(".")
        .map_err(|e| Error::io("list", dir.path(), e))?;
    let mut names: Vec<TopicName> = entries
        .iter()
        .filter(|entry| entry.kind != EntryKind::Dir)
        .filter_map(|entry| layout::parse_topic_file(&entry.name))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// UNKNOWN_TOPIC_OR_PARTITION, with near names.
pub fn unknown(store: &StoreDir, name: &TopicName) -> Error {
    let known = list(store).unwrap_or_default();
    let near = near_names(name.as_str(), known.iter().map(TopicName::as_str));
    let cure =
        did_you_mean(&near).unwrap_or_else(|| "'mq-topics list' shows the topics".to_owned());
    Error::new(
        Kind::UnknownTopic,
        format!(
            "UNKNOWN_TOPIC_OR_PARTITION: there is no topic '{name}' in {}",
            store.root().path().display()
        ),
    )
    .cure(cure)
}

/// Puts a topic file in place: a new one, or the next version.
pub fn replace(guard: &FencedGuard, meta: &TopicMeta) -> Result<()> {
    guard.replace(&path_in_store(&meta.name), &meta.encode())
}

/// The result of a change of several topics.
#[derive(Debug, Default)]
pub struct Updated {
    /// Those that were changed, in their new state.
    pub changed: Vec<TopicMeta>,
    /// Those whose file is damaged or cannot be read, or whose change failed: they are unchanged.
    pub failed: Vec<(TopicName, Error)>,
}

impl Updated {
    /// Why that topic failed, if it did.
    pub fn failure(&self, name: &TopicName) -> Option<&Error> {
        let mut failed = self.failed.iter();
        failed.find(|(of, _)| of == name).map(|(_, error)| error)
    }
}

/// Changes several topics, each by one replacement and independently: a damaged one does not
/// prevent the others' change. `change` gets every existing topic of `names`, and returns whether
/// it changed it. The version is raised here.
///
/// # Errors
/// Those of [`FencedGuard::replace_all`].
pub fn update_each(
    store: &StoreDir,
    guard: &FencedGuard,
    names: &[TopicName],
    mut change: impl FnMut(&mut TopicMeta) -> Result<bool>,
) -> Result<Updated> {
    let mut updated = Updated::default();
    for name in names {
        match changed_one(store, name, &mut change) {
            Ok(changed) => updated.changed.extend(changed),
            Err(e) => updated.failed.push((name.clone(), e)),
        }
    }
    replace_all(guard, &updated.changed)?;
    Ok(updated)
}

/// As [`update_each`], all or none, for a change that a user asked for as a whole. Returns what was
/// changed.
///
/// # Errors
/// The first error: then nothing is changed. Those of [`FencedGuard::replace_all`].
pub fn update_all(
    store: &StoreDir,
    guard: &FencedGuard,
    names: &[TopicName],
    mut change: impl FnMut(&mut TopicMeta) -> Result<bool>,
) -> Result<Vec<TopicMeta>> {
    let mut changed = Vec::new();
    for name in names {
        changed.extend(changed_one(store, name, &mut change)?);
    }
    replace_all(guard, &changed)?;
    Ok(changed)
}

/// The topic as `change` changes it, if it exists and anything changes.
fn changed_one(
    store: &StoreDir,
    name: &TopicName,
    change: &mut impl FnMut(&mut TopicMeta) -> Result<bool>,
) -> Result<Option<TopicMeta>> {
    let Some((meta, _)) = read_if_there(store, name)? else {
        return Ok(None);
    };
    let mut meta = Arc::unwrap_or_clone(meta);
    if !change(&mut meta)? {
        return Ok(None);
    }
    meta.version += 1;
    Ok(Some(meta))
}

fn replace_all(guard: &FencedGuard, changed: &[TopicMeta]) -> Result<()> {
    let file = |meta: &TopicMeta| (path_in_store(&meta.name), meta.encode());
    guard.replace_all(&changed.iter().map(file).collect::<Vec<_>>())
}

pub(crate) fn path_in_store(name: &TopicName) -> String {
    format!("{}/{}", layout::TOPICS_DIR, layout::topic_file(name))
}

pub(crate) fn exists(name: &TopicName) -> Error {
    Error::new(
        Kind::TopicExists,
        format!("TOPIC_ALREADY_EXISTS: there is a topic '{name}' already"),
    )
    .cure("--if-not-exists does not count this as an error; 'mq-topics describe' shows it")
}
