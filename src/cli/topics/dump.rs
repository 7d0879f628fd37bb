//! `mq-topics dump`: the batches of a partition, or of a segment file from anywhere.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::job::{Dump, DumpWhat};
use crate::cli::output::{Cell, Column, OutputFormat, RowPrinter};
use crate::cli::stdout::Stdout;
use crate::cli::topic_selection::Chosen;
use crate::cli::{Env, Failures, Outcome};
use crate::client::StoreDir;
use crate::client::files::{self, FileKind, Replica, SegmentFile, Segments};
use crate::client::topics::{self, TopicHandle};
use crate::disk::{Dir, Disk, File, Open, OsDisk, join};
use crate::error::{Error, Kind, Result};
use crate::record::{BATCH_HEADER_LEN, BatchHeader, BatchView};
use crate::types::{Offset, TopicPartition};

/// The largest batch that is read to check it.
const BATCH_BYTES_MAX: u64 = 256 << 20;

/// Advice for a path that is not a segment file.
const SEGMENT_FILES: &str = "name a segment file, such as orders-0/00000000000000000000.log";

const COLUMNS: [Column; 14] = [
    Column::text("topic"),
    Column::number("partition").short("part"),
    Column::text("file").minor(),
    Column::number("position"),
    Column::number("base_offset").short("base"),
    Column::number("last_offset").short("last"),
    Column::number("records"),
    Column::number("leader_epoch").short("epoch"),
    Column::size("size_bytes").short("size"),
    Column::text("compression").short("codec"),
    Column::text("timestamp_type").short("type").minor(),
    Column::time("max_timestamp").short("max time").minor(),
    Column::number("producer_id").short("producer").minor(),
    Column::text("crc_ok").short("crc"),
];

/// Prints the batches.
pub fn dump(job: Dump, env: &mut Env) -> Result<Outcome> {
    let mut dump = DumpOutput {
        stdout: env.stdout(),
        rows: RowPrinter::stdout(env, &COLUMNS, job.output),
        is_table: job.output.format == OutputFormat::Table,
        broken: None,
    };
    let mut failures = Failures::default();
    match job.what {
        DumpWhat::File(path) => {
            let parent = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            };
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .ok_or_else(|| {
                    Error::new(Kind::Usage, format!("{} names no file", path.display()))
                        .cure(SEGMENT_FILES)
                })?;
            let dir = OsDisk
                .open_dir(&parent)
                .map_err(|e| Error::io("open", &parent, e).cure(SEGMENT_FILES))?;
            dump.file(&*dir, name, None, None)
                .map_err(|e| match e.kind() {
                    Kind::Io if e.cure_text().is_none() => e.cure(SEGMENT_FILES),
                    _ => e,
                })?;
        }
        DumpWhat::Topics(wanted) => {
            let store = env.open_store()?;
            let (chosen, unmatched) = wanted.resolve(|| topics::list(&store))?;
            failures.notify_all(env, &unmatched);
            for chosen in &chosen {
                match dump.topic(&store, chosen) {
                    Err(e) if e.kind() == Kind::Interrupted => return Err(e),
                    Err(e) => failures.notify(env, &e),
                    Ok(()) => {}
                }
            }
        }
    }
    dump.rows.finish()?;
    if let Some(e) = dump.broken {
        failures.notify(env, &e);
    }
    Ok(failures.outcome())
}

/// Whether a segment that is missing lies below the log start by now. `generation`: as of the listing.
///
/// # Errors
/// [`Kind::Busy`] if a compaction joined it with the segment before it.
fn is_gone(
    error: &Error,
    replica: &Replica,
    base: Offset,
    generation: Option<u64>,
) -> Result<bool> {
    let source = error.io_source().map(std::io::Error::kind);
    if source != Some(std::io::ErrorKind::NotFound) {
        return Ok(false);
    }
    let Some(page) = replica.read_page()? else {
        return Ok(false);
    };
    if base < page.tail.log_start {
        return Ok(true);
    }
    if Some(page.generation) != generation {
        let text = format!("the log of {} was compacted meanwhile", replica.tp());
        return Err(Error::new(Kind::Busy, text).cure("try again"));
    }
    Ok(false)
}

/// Which partition a file is of, and where its next segment begins.
#[derive(Clone, Copy)]
struct Owned<'a> {
    tp: &'a TopicPartition,
    until: Option<Offset>,
}

struct DumpOutput {
    stdout: Stdout,
    rows: RowPrinter<BufWriter<Stdout>>,
    is_table: bool,
    broken: Option<Error>,
}

impl DumpOutput {
    /// The selected partitions of one topic.
    fn topic(&mut self, store: &Arc<StoreDir>, chosen: &Chosen) -> Result<()> {
        let topic = TopicHandle::open(store, &chosen.topic)?;
        for partition in chosen.partitions_of(topic.meta())? {
            let tp = TopicPartition::new(chosen.topic.clone(), partition);
            let replica = Replica::open(store, &tp, topic.partition(partition)?.leader)?;
            let dir = &**replica.dir();
            let page = replica.read_page()?;
            let start = page.map_or(0, |page| page.tail.log_start);
            let generation = page.map(|page| page.generation);
            let segments = Segments::list(dir)?.since(start);
            for base in segments.bases() {
                let name = SegmentFile::new(*base, FileKind::Log).name();
                let end = page
                    .filter(|page| page.tail.active == *base)
                    .map(|p| p.tail.log_bytes);
                // What a killed compaction left behind the segment's end is the next one's, too.
                let owned = Owned {
                    tp: &tp,
                    until: segments.after(*base),
                };
                match self.file(dir, &name, end, Some(owned)) {
                    // The log start rose meanwhile, and the segment lay below it.
                    Err(e) if is_gone(&e, &replica, *base, generation)? => {}
                    printed => printed?,
                }
            }
        }
        Ok(())
    }

    /// The batches of one file up to `end` bytes, or the file's end.
    fn file(
        &mut self,
        dir: &dyn Dir,
        name: &str,
        end: Option<u64>,
        owned: Option<Owned<'_>>,
    ) -> Result<()> {
        let tp = owned.map(|owned| owned.tp);
        let until = owned.and_then(|owned| owned.until);
        let path = join(dir, name);
        let file = dir
            .open(name, Open::Read)
            .map_err(|e| Error::io("open", &path, e))?;
        let len = file.len().map_err(|e| Error::io("look at", &path, e))?;
        let end = end.unwrap_or(len).min(len);
        let mut position = 0;
        // Without a reader, the rest need not be printed.
        while position < end && !self.stdout.is_unread() {
            let Some(header) = self.header(&*file, &path, position, end)? else {
                // Undamaged batches after the damage are printed too.
                let found = files::next_sound_batch(&*file, position + 1, end, -1)
                    .map_err(|e| Error::io("read", &path, e))?;
                match found {
                    Some((at, _)) => position = at,
                    None => return Ok(()),
                }
                continue;
            };
            if until.is_some_and(|until| header.base_offset >= until) {
                return Ok(());
            }
            let total = header.total_len() as u64;
            let sound = if total <= BATCH_BYTES_MAX {
                let mut batch = vec![0; header.total_len()];
                let read = file
                    .read_at(&mut batch, position)
                    .map_err(|e| Error::io("read", &path, e))?;
                batch.truncate(read);
                Some(
                    BatchView::parse(&batch)
                        .and_then(|view| view.check_crc())
                        .is_ok(),
                )
            } else {
                None
            };
            if sound == Some(false) {
                self.broken(&path, position, "the checksum does not match");
            }
            self.rows.row(vec![
                tp.map(|tp| tp.topic.as_str()).into(),
                tp.map(|tp| tp.partition).into(),
                name.into(),
                position.into(),
                header.base_offset.into(),
                header.last_offset().into(),
                header.record_count.into(),
                header.leader_epoch.into(),
                total.into(),
                header.compression().as_str().into(),
                header.timestamp_type().as_str().into(),
                header.max_timestamp.into(),
                if header.producer_id < 0 {
                    Cell::Null
                } else {
                    header.producer_id.into()
                },
                match sound {
                    // In a table, a plain false is shown as a dash, and a batch that was not checked
                    // is one, too.
                    Some(false) if self.is_table => "false".into(),
                    sound => sound.into(),
                },
            ])?;
            position += total;
        }
        Ok(())
    }

    fn header(
        &mut self,
        file: &dyn File,
        path: &Path,
        position: u64,
        end: u64,
    ) -> Result<Option<BatchHeader>> {
        let mut raw = [0; BATCH_HEADER_LEN];
        let read = file
            .read_at(&mut raw, position)
            .map_err(|e| Error::io("read", path, e))?;
        match BatchHeader::parse(raw.get(..read).unwrap_or_default()) {
            Ok(header) if position + header.total_len() as u64 <= end => Ok(Some(header)),
            Ok(_) => {
                self.broken(path, position, "a batch that ends beyond the file");
                Ok(None)
            }
            Err(corrupt) => {
                self.broken(path, position, &corrupt.to_string());
                Ok(None)
            }
        }
    }

    fn broken(&mut self, path: &Path, position: u64, why: &str) {
        self.broken.get_or_insert_with(|| {
            let text = format!(
                "CORRUPT_MESSAGE: {} is damaged at byte {position}: {why}",
                path.display()
            );
            let e = Error::new(Kind::Damaged, text);
            if path.extension().is_some_and(|ext| ext == "cut") {
                e.cure(
                    "a repair cut this off a log: it begins at the damage, and belongs to no topic",
                )
            } else {
                e.cure("'mq-topics verify --deep' checks a whole topic")
            }
        });
    }
}
