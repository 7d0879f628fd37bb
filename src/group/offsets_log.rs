//! `offsets.log`: read incrementally, appended to, rewritten when it has grown.
//!
//! 1. It is opened for appending, never written at a position, never shortened. A torn line stays;
//!    the line feed at the beginning of the next line ends it.
//! 2. A line counts if its checksum holds, up to the first NUL: a power cut may leave zeros in
//!    place of the line behind.
//! 3. The state is what was read back from the file, including this process's own lines.

use std::sync::Arc;

use super::offsets_line::{LINE_BYTES_MAX, Line};
use super::offsets_state::OffsetsState;
use crate::disk::{Dir, File, FileId, Open, join};
use crate::error::{Error, Kind, Result, shell_word};
use crate::store::layout;
use crate::types::Timestamp;

/// Below this length, bytes, the file is never rewritten.
const COMPACT_FROM_BYTES: u64 = 1 << 20;
/// It is rewritten when it is this many times as long as it needs to be.
const COMPACT_FACTOR: u64 = 4;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Notes that are kept; more are counted.
const NOTES_MAX: usize = 8;

/// An open `offsets.log`, and the state that was read from it.
#[derive(Debug)]
pub struct OffsetsLog {
    dir: Arc<dyn Dir>,
    file: Arc<dyn File>,
    id: FileId,
    /// All lines below were read and assessed.
    position: u64,
    state: OffsetsState,
    notes: Vec<String>,
    bad_lines: u64,
    torn_tail: bool,
    compact_from: u64,
}

impl OffsetsLog {
    /// Opens the log of the group in `dir` for reading and appending. Nothing is read yet.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is missing; [`Kind::UnusableStore`] if this user may not write.
    pub fn open(dir: &Arc<dyn Dir>) -> Result<Self> {
        // Opening for appending would create a missing one.
        OffsetsLog::open_as(dir, Open::Read)?;
        OffsetsLog::open_as(dir, Open::Append)
    }

    /// Opens it only for reading.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is missing.
    pub fn open_to_read(dir: &Arc<dyn Dir>) -> Result<Self> {
        OffsetsLog::open_as(dir, Open::Read)
    }

    fn open_as(dir: &Arc<dyn Dir>, how: Open) -> Result<Self> {
        let place = || join(&**dir, layout::OFFSETS_LOG);
        let file =
            dir.open(layout::OFFSETS_LOG, how)
                .map_err(|e| match e.kind() {
                    std::io::ErrorKind::NotFound => {
                        Error::new(Kind::Damaged, format!("{} is missing", place().display()))
                            .cure(cure_of_loss(&**dir))
                    }
                    std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::ReadOnlyFilesystem => Error::io("open", place(), e)
                        .with_kind(Kind::UnusableStore)
                        .cure("run as the user who owns the store"),
                    _ => Error::io("open", place(), e),
                })?;
        let id = file.id().map_err(|e| Error::io("look at", place(), e))?;
        Ok(OffsetsLog {
            dir: Arc::clone(dir),
            file,
            id,
            position: 0,
            state: OffsetsState::default(),
            notes: Vec::new(),
            bad_lines: 0,
            torn_tail: false,
            compact_from: COMPACT_FROM_BYTES,
        })
    }

    /// The state after the lines read so far.
    pub fn state(&self) -> &OffsetsState {
        &self.state
    }

    /// The open file.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Its id.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Whether the path still names the open file.
    pub fn is_current(&self) -> Result<bool> {
        match self.dir.id(layout::OFFSETS_LOG) {
            Ok(id) => Ok(id == self.id),
            Err(e) => Err(self.error("look at", e)),
        }
    }

    /// The problems of the file, a line each; torn lines come from killed processes.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        let more = self.bad_lines.saturating_sub(notes.len() as u64);
        if more > 0 {
            notes.push(format!(
                "{}: {more} more such lines",
                self.place().display()
            ));
        }
        if self.torn_tail {
            notes.push(self.bad_line(self.position));
        }
        notes
    }

    /// Reads the new lines.
    pub fn refresh(&mut self) -> Result<()> {
        self.refresh_with(&mut |_| {})
    }

    /// Reads the new lines, and passes each line that counts to `counted`.
    pub fn refresh_with(&mut self, counted: &mut dyn FnMut(&Line)) -> Result<()> {
        let mut carry: Vec<u8> = Vec::new();
        let mut searched = 0;
        loop {
            let had = carry.len();
            carry.resize(had + CHUNK_BYTES, 0);
            let read = self
                .file
                .read_at(
                    carry.get_mut(had..).unwrap_or_default(),
                    self.position + had as u64,
                )
                .map_err(|e| self.error("read", e))?;
            carry.truncate(had + read);
            // The line feed that a line begins with does not end it.
            let mut begin = 0;
            let mut from = searched.max(usize::from(carry.first() == Some(&b'\n')));
            while let Some(at) = carry
                .get(from..)
                .and_then(|rest| memchr::memchr(b'\n', rest))
            {
                let end = from + at;
                let ended = carry.get(begin..end).unwrap_or_default().to_vec();
                self.assess(&ended, counted);
                self.position += ended.len() as u64;
                begin = end;
                from = end + 1;
            }
            carry.drain(..begin);
            searched = carry.len();
            if read < CHUNK_BYTES {
                break;
            }
            if carry.len() > LINE_BYTES_MAX {
                self.note_bad();
                self.position += carry.len() as u64;
                carry.clear();
                searched = 0;
            }
        }
        self.torn_tail = false;
        let (line, text_len) = sound_line(&carry);
        match line {
            Some(line) => {
                if self.state.take(&line) {
                    counted(&line);
                }
                self.position += text_len as u64;
            }
            None => self.torn_tail = carry.iter().any(|b| !matches!(b, 0 | b'\n')),
        }
        Ok(())
    }

    /// Assesses one line that another follows, its line feed first.
    fn assess(&mut self, bytes: &[u8], counted: &mut dyn FnMut(&Line)) {
        let (line, text_len) = sound_line(bytes);
        if let Some(line) = &line
            && self.state.take(line)
        {
            counted(line);
        }
        let rest = bytes
            .get(if line.is_some() { text_len } else { 0 }..)
            .unwrap_or_default();
        if rest.iter().any(|b| !matches!(b, 0 | b'\n')) {
            self.note_bad();
        }
    }

    fn note_bad(&mut self) {
        self.bad_lines += 1;
        if self.notes.len() < NOTES_MAX {
            self.notes.push(self.bad_line(self.position));
        }
    }

    fn bad_line(&self, position: u64) -> String {
        format!(
            "{}: the line at byte {position} is not whole and does not count",
            self.place().display()
        )
    }

    /// Appends a line in one write. Under the group's lock, after [`OffsetsLog::refresh`].
    ///
    /// # Errors
    /// [`Kind::Usage`] for a line longer than [`LINE_BYTES_MAX`]; [`Kind::DiskFull`]: then nothing
    /// counts; [`Kind::Unknown`].
    pub fn append(&mut self, line: &Line) -> Result<()> {
        let bytes = line.encode();
        if bytes.len() > LINE_BYTES_MAX {
            return Err(Error::new(
                Kind::Usage,
                format!("{} offsets do not fit in one commit", line.entries.len()),
            )
            .cure("commit the topics one by one"));
        }
        self.file.append(&bytes).map_err(|e| {
            let error = self.error("append to", e);
            if error.kind() == Kind::DiskFull {
                error
            } else {
                error.with_kind(Kind::Unknown)
            }
        })?;
        self.refresh()
    }

    /// The rewritten file, if it has grown far beyond its content.
    pub fn compacted(&mut self, n: u64, now_ms: Timestamp) -> Result<Option<Vec<u8>>> {
        let len = self.file.len().map_err(|e| self.error("look at", e))?;
        if len <= self.compact_from {
            return Ok(None);
        }
        let bytes = self.rewritten(n, now_ms);
        self.compact_from = COMPACT_FROM_BYTES.max(bytes.len() as u64 * COMPACT_FACTOR);
        Ok((len > self.compact_from).then_some(bytes))
    }

    /// The rewritten file.
    pub fn rewritten(&self, n: u64, now_ms: Timestamp) -> Vec<u8> {
        self.state
            .compacted(n, now_ms)
            .iter()
            .flat_map(Line::encode)
            .collect()
    }

    fn place(&self) -> std::path::PathBuf {
        join(&*self.dir, layout::OFFSETS_LOG)
    }

    fn error(&self, op: &'static str, e: std::io::Error) -> Error {
        Error::io(op, self.place(), e)
    }
}

/// The line at the beginning of these bytes, and how many of them are its own.
/// The group's name is that of its directory.
fn cure_of_loss(dir: &dyn Dir) -> String {
    let name = dir.path().file_name().and_then(|name| name.to_str());
    let group = name.and_then(layout::parse_group_dir);
    let group = group.map_or_else(|| "GROUP".to_owned(), |group| shell_word(&group));
    format!(
        "restore it from a backup, or give up the committed offsets: 'mq-groups delete {group}'"
    )
}

fn sound_line(bytes: &[u8]) -> (Option<Line>, usize) {
    let feed = usize::from(bytes.first() == Some(&b'\n'));
    let text = bytes.get(feed..).unwrap_or_default();
    let len = memchr::memchr(0, text).unwrap_or(text.len());
    (text.get(..len).and_then(Line::decode), feed + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, OsDisk};
    use crate::group::offsets_line::{LineKind, OffsetsEntry};
    use crate::types::{TopicName, Uuid};

    fn line(n: u64, offset: i64) -> Line {
        let topic = TopicName::new("t").expect("topic");
        let (topic_id, partition, leader_epoch) = (Uuid([1; 16]), 0, 0);
        let entries = vec![OffsetsEntry {
            topic,
            topic_id,
            partition,
            offset,
            leader_epoch,
        }];
        let member = Some("m".to_owned());
        Line {
            n,
            time_ms: 5,
            kind: LineKind::Commit,
            member,
            epoch: 1,
            entries,
        }
    }

    fn dir_with(bytes: &[u8]) -> (tempfile::TempDir, Arc<dyn Dir>) {
        let temp = tempfile::tempdir().expect("temp");
        let dir = OsDisk.open_dir(temp.path()).expect("open");
        let file = dir
            .open(layout::OFFSETS_LOG, Open::CreateNew)
            .expect("make");
        file.write_at(bytes, 0).expect("write");
        (temp, dir)
    }

    fn read(bytes: &[u8]) -> (Option<i64>, usize) {
        let (_temp, dir) = dir_with(bytes);
        let mut log = OffsetsLog::open_to_read(&dir).expect("open");
        log.refresh().expect("read");
        (offset(&log), log.notes().len())
    }

    fn offset(log: &OffsetsLog) -> Option<i64> {
        let topic = TopicName::new("t").expect("topic");
        log.state()
            .committed(&topic, Uuid([1; 16]), 0)
            .map(|c| c.offset)
    }

    #[test]
    fn a_torn_line_of_any_length_is_ended_by_the_next() {
        let (first, torn, next) = (
            line(0, 1).encode(),
            line(0, 2).encode(),
            line(0, 3).encode(),
        );
        for len in 0..torn.len() {
            let torn = &torn[..len];
            // What a killed writer leaves, and what a power cut makes of it.
            let zeros = vec![0; len];
            for tail in [torn, &zeros] {
                let noted = usize::from(tail.iter().any(|b| *b != 0 && *b != b'\n'));
                assert_eq!(read(&[&first, tail].concat()), (Some(1), noted), "{len}");
                assert_eq!(
                    read(&[&first, tail, &next].concat()),
                    (Some(3), noted),
                    "{len}"
                );
            }
            let half = [&zeros[..len / 2], &torn[len / 2..]].concat();
            let (offset, _) = read(&[&first[..], &half].concat());
            assert_eq!(
                offset,
                if half.first() == Some(&0) || len < 2 {
                    Some(1)
                } else {
                    None
                }
            );
        }
    }

    #[test]
    fn no_flipped_bit_makes_a_line_count() {
        let (first, second) = (line(0, 1).encode(), line(0, 2).encode());
        let sound = [&first[..], &second].concat();
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (offset, notes) = read(&flipped);
            let in_feed = bit / 8 == 0 || bit / 8 == first.len();
            if in_feed {
                assert!(
                    offset != Some(3) && (notes > 0 || offset == Some(2)),
                    "bit {bit}"
                );
            } else if bit / 8 < first.len() {
                assert_eq!((offset, notes), (Some(2), 1), "bit {bit}");
            } else {
                assert_eq!((offset, notes), (Some(1), 1), "bit {bit}");
            }
        }
    }

    #[test]
    fn reads_on_and_not_twice() {
        let (_temp, dir) = dir_with(b"");
        let mut writer = OffsetsLog::open(&dir).expect("open");
        let mut reader = OffsetsLog::open_to_read(&dir).expect("open");
        for n in 0..2000 {
            writer.append(&line(n, n as i64)).expect("append");
            if n % 7 == 0 {
                reader.refresh().expect("read");
                assert_eq!(offset(&reader), Some(n as i64));
                assert_eq!(reader.position, reader.file.len().expect("len"));
            }
        }
        let mut fresh = OffsetsLog::open_to_read(&dir).expect("open");
        fresh.refresh().expect("read");
        assert_eq!((offset(&fresh), fresh.notes().len()), (Some(1999), 0));
        assert_eq!(fresh.state(), writer.state());
    }

    #[test]
    fn a_line_without_end_is_passed_over_in_bounded_memory() {
        let garbage = vec![b'x'; LINE_BYTES_MAX * 2 + 77];
        let bytes = [
            &line(0, 1).encode()[..],
            b"\n",
            &garbage,
            &line(0, 2).encode(),
        ]
        .concat();
        let (offset, notes) = read(&bytes);
        assert_eq!(offset, Some(2));
        assert!(notes > 0);
    }
}
