//! Compares the end of a replica's files with its state page: the page may be older than the log,
//! or the log may have lost bytes that the page knows.

use std::cmp::Ordering;

use super::replica::Replica;
use super::state_page::{Intent, StatePage};
use crate::disk::{Dir, join};
use crate::error::{Error, Result};
use crate::log::{FileKind, SegmentFile, Segments, Tail};

/// The boot id of a page that does not fit its log's files.
const NO_BOOT: [u8; 16] = [0; 16];
/// How often a read starts over while other processes publish.
const POLLS: u32 = 20;

/// A page, and how the end of its log's files compares with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageAndEnd {
    /// The page.
    pub page: StatePage,
    /// Where the log's files end, compared with the log end of the page.
    pub ends: Ordering,
    /// Another process is appending: bytes beyond the page are its unpublished batch.
    pub appends: bool,
}

impl Replica {
    /// The published page, compared with the log's files before this handle believes it for the
    /// first time. A page of this boot may be older or younger than its log: a mount was lost, a
    /// copy restored, a file removed. Such a page is returned as one of another boot: its durable
    /// part may be true; for more than that, a writer has to recover the log first. `None` if
    /// neither copy is sound.
    ///
    /// A caller that truncates, moves or counts by a page reads the page with this.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub fn proven_page(&self) -> Result<Option<StatePage>> {
        if self.is_proven() {
            return self.read_page();
        }
        Ok(self.examine_page()?.map(|(page, _)| page))
    }

    /// As [`Replica::proven_page`], but compares again even if this handle did before. Also returns
    /// whether the log ends before its page says.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub(crate) fn examine_page(&self) -> Result<Option<(StatePage, bool)>> {
        let Some(found) = self.page_and_end()? else {
            return Ok(None);
        };
        let mut page = found.page;
        // For a page of another boot, or before a repair or a recovery, the files are not compared.
        let unasked =
            page.boot_id != self.boot_id() || page.offline.is_some() || page.intent != Intent::None;
        if unasked || found.appends {
            return Ok(Some((page, false)));
        }
        if found.ends == Ordering::Equal {
            self.set_proven();
        } else {
            page.boot_id = NO_BOOT;
        }
        Ok(Some((page, found.ends == Ordering::Less)))
    }

    /// A page, and where the log's files ended while it was the published one. While an intent is
    /// published, files come and go (or its process died): the ends then count as equal. `None` if
    /// neither copy of the page is sound.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub(crate) fn page_and_end(&self) -> Result<Option<PageAndEnd>> {
        let found = |page, ends, appends| PageAndEnd {
            page,
            ends,
            appends,
        };
        for _ in 0..POLLS {
            let Some(page) = self.read_page()? else {
                return Ok(None);
            };
            if page.intent != Intent::None {
                return Ok(Some(found(page, Ordering::Equal, false)));
            }
            let ends = self.end_of_files(&page)?;
            if ends == Ordering::Equal {
                return Ok(Some(found(page, ends, false)));
            }
            // A writer that holds the append lock has compared the log with its page, and has
            // written but not yet published. The lock is tried before the page is read again, so
            // that a publication in between shows in the page.
            let appends = ends == Ordering::Greater && !self.is_free()?;
            let after = self.read_page()?;
            if after.is_some_and(|after| after.sequence == page.sequence) {
                return Ok(Some(found(page, ends, appends)));
            }
        }
        // Other processes publish that often, and each writer has compared the log itself.
        let page = self.read_page()?;
        Ok(page.map(|page| found(page, Ordering::Equal, true)))
    }

    /// Whether the directory, its page, its epoch checkpoint and the end of its log are in place.
    /// The open handles outlive a removal, so an idle replica has to check.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub fn is_whole(&self) -> Result<bool> {
        Ok(self.in_place()? && self.has_epochs()? && !self.lacks_its_end()?)
    }

    /// Whether the log's files certainly end before the published page of this boot says.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub fn lacks_its_end(&self) -> Result<bool> {
        let Some(page) = self.read_page()? else {
            return Ok(false);
        };
        // While an intent is published, files come and go: their end says nothing.
        if page.boot_id != self.boot_id() || page.intent != Intent::None || page.offline.is_some() {
            return Ok(false);
        }
        if self.end_of_files(&page)? != Ordering::Less {
            return Ok(false);
        }
        // The files may have been truncated since the page was read.
        let after = self.read_page()?;
        Ok(after.is_some_and(|after| after.sequence == page.sequence))
    }

    /// Where the log's files end now, compared with the log end of `page`. A page may be older than
    /// its log in the same boot, too: after a mount was lost, or a copy restored.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub(crate) fn end_of_files(&self, page: &StatePage) -> Result<Ordering> {
        let (dir, tail) = (&**self.dir(), &page.tail);
        let name = SegmentFile::new(tail.active, FileKind::Log).name();
        let len = match dir.len_of(&name) {
            Ok(len) => Some(len),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("look at", join(dir, &name), e)),
        };
        Ok(match len.cmp(&Some(tail.log_bytes)) {
            Ordering::Greater => Ordering::Greater,
            // If the log goes on after a whole active segment, its next segment begins at the
            // page's log end. A look-up of that one file is cheaper than a listing.
            Ordering::Equal if has_next_segment(dir, tail)? => Ordering::Greater,
            Ordering::Equal => Ordering::Equal,
            Ordering::Less => Segments::list(dir)?
                .bases()
                .last()
                .cmp(&Some(&tail.active))
                .then(Ordering::Less),
        })
    }
}

/// Whether a segment begins at the log's end, other than an active one without records.
fn has_next_segment(dir: &dyn Dir, tail: &Tail) -> Result<bool> {
    if tail.end == tail.active {
        return Ok(false);
    }
    let name = SegmentFile::new(tail.end, FileKind::Log).name();
    match dir.id(&name) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("look at", join(dir, &name), e)),
    }
}
