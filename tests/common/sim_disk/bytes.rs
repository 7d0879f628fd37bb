//! A file's bytes: as processes see them, as they are on the disk, and the states between.

use std::collections::BTreeMap;

/// The disk writes this many bytes entirely or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub struct FileState {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Len(usize),
    /// A whole sector as it is in the cache, not only the written part: the disk gets whole
    /// sectors.
    Sector(usize, Vec<u8>),
}

impl FileState {
    pub fn len(&self) -> u64 {
        self.cached.len() as u64
    }

    pub fn read(&self, buf: &mut [u8], at: u64) -> usize {
        let from = self.cached.get(at as usize..).unwrap_or_default();
        let n = from.len().min(buf.len());
        buf[..n].copy_from_slice(&from[..n]);
        n
    }

    /// Writes at a position, or at the end.
    pub fn write(&mut self, at: Option<u64>, buf: &[u8]) {
        if buf.is_empty() {
            return;
        }
        let at = at.map_or(self.cached.len(), |at| at as usize);
        let end = at + buf.len();
        if end > self.cached.len() {
            self.set_len(end as u64);
        }
        self.cached[at..end].copy_from_slice(buf);
        for index in at / SECTOR..end.div_ceil(SECTOR) {
            let end = self.cached.len().min((index + 1) * SECTOR);
            let sector = self.cached[index * SECTOR..end].to_vec();
            self.unsynced.push(Change::Sector(index, sector));
        }
    }

    pub fn set_len(&mut self, len: u64) {
        self.cached.resize(len as usize, 0);
        self.unsynced.push(Change::Len(len as usize));
    }

    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that failed: the bytes count as clean and are not on the disk.
    pub fn fail_sync(&mut self) {
        self.unsynced
            .retain(|change| matches!(change, Change::Len(_)));
    }

    pub fn drop_cache(&mut self) {
        self.cached.clone_from(&self.durable);
        for change in &self.unsynced {
            change.apply(&mut self.cached);
        }
    }

    pub fn damage(&mut self, at: usize, bytes: &[u8]) {
        overlay(&mut self.cached, at, bytes);
        overlay(&mut self.durable, at, bytes);
    }

    /// The file as the next boot finds it.
    pub fn after_power_cut(&self, choice: &mut dyn FnMut(usize) -> usize) -> FileState {
        let mut lens = 0;
        let mut states: BTreeMap<usize, usize> = BTreeMap::new();
        for change in &self.unsynced {
            match change {
                Change::Len(_) => lens += 1,
                Change::Sector(index, _) => *states.entry(*index).or_default() += 1,
            }
        }
        let mut lens_left = if lens == 0 { 0 } else { choice(lens + 1) };
        // Which state of each sector is on the disk, counted from 1; 0: none of them.
        let mut until: BTreeMap<usize, usize> = BTreeMap::new();
        for (&index, &count) in &states {
            until.insert(index, choice(count + 1));
        }
        let mut image = self.durable.clone();
        for change in &self.unsynced {
            match change {
                Change::Len(_) if lens_left > 0 => {
                    lens_left -= 1;
                    change.apply(&mut image);
                }
                Change::Len(_) => {}
                Change::Sector(index, _) => {
                    if let Some(left) = until.get_mut(index).filter(|left| **left > 0) {
                        *left -= 1;
                        change.apply(&mut image);
                    }
                }
            }
        }
        FileState {
            cached: image.clone(),
            durable: image,
            unsynced: vec![],
        }
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Len(len) => image.resize(*len, 0),
            Change::Sector(index, bytes) => overlay(image, index * SECTOR, bytes),
        }
    }
}

/// Bytes beyond the image's length are not part of the file.
fn overlay(image: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in image.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
