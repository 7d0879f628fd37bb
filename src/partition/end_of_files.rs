//! Where a replica's files end, held against its page: whether the page is older than its log, and
//! whether the log lost what the page knows.

use std::cmp::Ordering;

use super::replica::Replica;
use super::state_page::{Intent, StatePage};
use crate::disk::{Dir, join};
use crate::error::{Error, Result};
use crate::log::{FileKind, SegmentFile, Segments, Tail};

/// The boot of a page that does not fit its log's files.
const NO_BOOT: [u8; 16] = [0; 16];
/// How often a look starts over while others publish.
const POLLS: u32 = 20;

/// A page, and what was found where its log ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageAndEnd {
    /// The page.
    pub page: StatePage,
    /// Where the log's files end, compared with where the page says that the log ends.
    pub ends: Ordering,
    /// Appends go on just now: what lies beyond is theirs.
    pub appends: bool,
}

impl Replica {
    /// The published page, held against the log's files before this handle believes it for the first
    /// time. A page of this boot may be older than its log, or younger: a mount was lost, a copy
    /// restored, a file removed. Such a page comes back as one of another boot: its durable part may be
    /// true, and whoever needs more has a writer put the log in order first. `None` if neither copy is
    /// sound.
    ///
    /// Whoever decides by a page what is cut, moved or counted reads it by this.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub fn proven_page(&self) -> Result<Option<StatePage>> {
        if self.is_proven() {
            return self.read_page();
        }
        Ok(self.look_at_page()?.map(|(page, _)| page))
    }

    /// As [`Replica::proven_page`], whatever was looked at before; and whether the log ends before its
    /// page says.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io).
    pub(crate) fn look_at_page(&self) -> Result<Option<(StatePage, bool)>> {
        let Some(found) = self.page_and_end()? else {
            return Ok(None);
        };
        let mut page = found.page;
        // What another boot, a repair or a recovery still has to see to is no question of files.
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

    /// A page, and where the log's files ended while it was the published one. Where an intent stands,
    /// files come and go, or whoever began that died: that is another question, and they count as equal.
    /// `None` if neither copy of the page is sound.
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
            // Who appends has written and not published yet, and looked at the log before that. Asked
            // before the page is read again: who publishes in between is seen by that.
            let appends = ends == Ordering::Greater && !self.is_free()?;
            let after = self.read_page()?;
            if after.is_some_and(|after| after.sequence == page.sequence) {
                return Ok(Some(found(page, ends, appends)));
            }
        }
        // Appends follow each other that fast: who makes them has looked.
        let page = self.read_page()?;
        Ok(page.map(|page| found(page, Ordering::Equal, true)))
    }

    /// Whether the directory, its page, its epoch checkpoint and the end of its log are where they
    /// belong. What is kept of them in memory outlives a removal, so a replica that is idle has to look.
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
        // Where files come and go just now, it is another question.
        if page.boot_id != self.boot_id() || page.intent != Intent::None || page.offline.is_some() {
            return Ok(false);
        }
        if self.end_of_files(&page)? != Ordering::Less {
            return Ok(false);
        }
        // They may have been cut since the page was read.
        let after = self.read_page()?;
        Ok(after.is_some_and(|after| after.sequence == page.sequence))
    }

    /// Where the log's files end now, compared with where `page` says that the log ends. A page may be
    /// older than its log in the same boot, too: after a mount was lost, or a copy restored.
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
            // A log that goes on after a whole active segment goes on in a segment that begins where
            // the page says that the log ends. To ask for that one file is cheaper than to list all.
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
