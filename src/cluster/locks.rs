//! Which processes hold which locks of a store now: each lock is probed by a shared try on a
//! descriptor of its own, and the system is asked for the processes of the held ones.

use std::io;

use crate::disk::{Dir, Disk, EntryKind, LockKind, Open, join};
use crate::error::{Error, Result};
use crate::partition::compaction::COMPACT_LOCK;
use crate::partition::{PAGE_FILE, SYNC_FILE};
use crate::store::{StoreDir, layout};

/// What a lock guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockKindName {
    /// A daemon's liveness.
    Broker,
    /// The controller's liveness.
    Controller,
    /// Changes of topics and brokers.
    Metadata,
    /// Appends to one partition.
    Append,
    /// The group commit of one partition, or of one group's offsets.
    Sync,
    /// The compaction of one replica.
    Compaction,
    /// Changes of one group.
    Group,
    /// A group member's liveness.
    Member,
}

impl LockKindName {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            LockKindName::Broker => "broker",
            LockKindName::Controller => "controller",
            LockKindName::Metadata => "metadata",
            LockKindName::Append => "append",
            LockKindName::Sync => "sync",
            LockKindName::Compaction => "compaction",
            LockKindName::Group => "group",
            LockKindName::Member => "member",
        }
    }
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockRow {
    /// What it guards.
    pub kind: LockKindName,
    /// Its object: a broker's number, `T:P`, a group, a member; empty for the store's own.
    pub of: String,
    /// The processes that hold it, as the system reports them, or else as the holder does; none:
    /// unknown.
    pub pids: Vec<u32>,
    /// The holder's host, if the holder wrote one.
    pub host: Option<String>,
    /// What it is held for, if the holder wrote that.
    pub purpose: Option<String>,
    /// The lock file, below the store (replicas: wherever the broker's logs are).
    pub path: String,
}

/// All locks held at the moment, sorted.
///
/// # Errors
/// [`crate::error::Kind::Io`]. A lock file that is removed meanwhile counts as free.
pub fn held_locks(store: &StoreDir) -> Result<Vec<LockRow>> {
    let disk = &**store.disk();
    let root = &**store.root();
    let mut rows = Vec::new();
    let mut add = |kind, of: &str, dir: &dyn Dir, name: &str| -> Result<()> {
        rows.extend(probe(disk, kind, of, dir, name)?);
        Ok(())
    };
    add(LockKindName::Controller, "", root, layout::CONTROLLER_LOCK)?;
    add_fenced(root, LockKindName::Metadata, "", &mut add)?;
    for name in names(root, layout::BROKERS_DIR, EntryKind::Dir)? {
        let Some(broker) = layout::parse_broker_dir(&name) else {
            continue;
        };
        let of = broker.to_string();
        // Removed meanwhile: no process holds it.
        let Ok(dir) = store.broker_dir(broker) else {
            continue;
        };
        add(LockKindName::Broker, &of, &*dir, layout::BROKER_LOCK)?;
        // A missing log directory must not hide the holders of other brokers' locks.
        let Ok(logs) = store.logs_dir(broker) else {
            continue;
        };
        for name in names(&*logs, ".", EntryKind::Dir)? {
            let Some(tp) = layout::parse_replica_dir(&name) else {
                continue;
            };
            let of = tp.to_string();
            add(
                LockKindName::Append,
                &of,
                &*logs,
                &format!("{name}/{PAGE_FILE}"),
            )?;
            add(
                LockKindName::Sync,
                &of,
                &*logs,
                &format!("{name}/{SYNC_FILE}"),
            )?;
            add(
                LockKindName::Compaction,
                &of,
                &*logs,
                &format!("{name}/{COMPACT_LOCK}"),
            )?;
        }
    }
    for name in names(root, layout::GROUPS_DIR, EntryKind::Dir)? {
        let Some(group) = layout::parse_group_dir(&name) else {
            continue;
        };
        let Ok(dir) = store.group_dir(&group) else {
            continue;
        };
        add_fenced(&*dir, LockKindName::Group, &group, &mut add)?;
        for name in names(&*dir, ".", EntryKind::File)? {
            if layout::parse_offsets_sync(&name).is_some() {
                add(LockKindName::Sync, &group, &*dir, &name)?;
            }
        }
        for name in names(&*dir, layout::MEMBERS_DIR, EntryKind::File)? {
            let Some(member) = layout::parse_member_file(&name) else {
                continue;
            };
            let of = format!("{group}/{member}");
            add(
                LockKindName::Member,
                &of,
                &*dir,
                &layout::member_file(&member),
            )?;
        }
    }
    rows.sort();
    Ok(rows)
}

type Add<'a> = dyn FnMut(LockKindName, &str, &dyn Dir, &str) -> Result<()> + 'a;

/// The fenced lock in `dir`: the one with the largest N.
fn add_fenced(dir: &dyn Dir, kind: LockKindName, of: &str, add: &mut Add<'_>) -> Result<()> {
    let newest = names(dir, ".", EntryKind::Dir)?
        .iter()
        .filter_map(|name| layout::parse_lock_dir(name))
        .max();
    match newest {
        Some(n) => add(kind, of, dir, &layout::lock_file(n)),
        None => Ok(()),
    }
}

fn names(dir: &dyn Dir, below: &str, kind: EntryKind) -> Result<Vec<String>> {
    match dir.list(below) {
        Ok(entries) => Ok(entries
            .into_iter()
            .filter(|e| e.kind == kind)
            .map(|e| e.name)
            .collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io("list", join(dir, below), e)),
    }
}

/// Most bytes of a holder's line that are read.
const LINE_BYTES_MAX: usize = 256;

fn probe(
    disk: &dyn Disk,
    kind: LockKindName,
    of: &str,
    dir: &dyn Dir,
    name: &str,
) -> Result<Option<LockRow>> {
    let error = |op| move |e| Error::io(op, join(dir, name), e);
    let file = match dir.open(name, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(error("open")(e)),
    };
    if file.try_lock(LockKind::Shared).map_err(error("probe"))? {
        return Ok(None);
    }
    let mut pids = file
        .id()
        .map(|id| disk.lock_holders(id))
        .unwrap_or_default();
    pids.sort_unstable();
    pids.dedup();
    let mut row = LockRow {
        kind,
        of: of.to_owned(),
        pids,
        host: None,
        purpose: None,
        path: join(dir, name).display().to_string(),
    };
    let mut line = [0; LINE_BYTES_MAX];
    let read = file.read_at(&mut line, 0).map_err(error("read"))?;
    let text = String::from_utf8_lossy(line.get(..read).unwrap_or_default()).into_owned();
    let mut fields = text.trim_end().splitn(5, ' ');
    let said = match kind {
        // COUNTER ID PID HOST PURPOSE
        LockKindName::Metadata | LockKindName::Group => {
            let mut fields = fields.skip(2);
            let pid = fields.next();
            row.host = fields.next().map(str::to_owned);
            row.purpose = fields.next().map(str::to_owned);
            pid
        }
        // COUNTER INCARNATION PID STARTED_MS HOST
        LockKindName::Broker | LockKindName::Controller => {
            let pid = fields.nth(2);
            row.host = fields.nth(1).map(str::to_owned);
            pid
        }
        // COUNTER STATE PID HOST
        LockKindName::Member => {
            let pid = fields.nth(2);
            row.host = fields.next().map(str::to_owned);
            pid
        }
        LockKindName::Append | LockKindName::Sync | LockKindName::Compaction => None,
    };
    if row.pids.is_empty() {
        row.pids
            .extend(said.and_then(|pid| pid.parse::<u32>().ok()));
    }
    Ok(Some(row))
}
