//! Writes large amounts on a separate thread, and small ones at once.
//!
//! Where the run must know how much a pipe's reader took, it writes page by page, each after the
//! pipe reported room. So no write blocks, and the number of written bytes is exact at any time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::cli::signals::{StopFlag, Writes};
pub use crate::cli::stdout::unread;
use crate::cli::stdout::{write_all, write_in_pages};
use crate::error::{Error, Result};

/// The most buffers in the queue of the writing thread.
const QUEUE: usize = 3;
/// The approximate size at which a buffer is handed to the writing thread.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// Standard output.
#[derive(Debug)]
pub struct Output {
    writer: Option<Writer>,
    under_way: usize,
    closed: bool,
    written: Arc<AtomicU64>,
    /// Until this flag is raised, writes to a pipe go page by page.
    in_pages: Option<StopFlag>,
    writes: Writes,
}

#[derive(Debug)]
struct Writer {
    chunks: SyncSender<Vec<u8>>,
    back: Receiver<(Vec<u8>, io::Result<()>)>,
    thread: JoinHandle<()>,
}

impl Output {
    /// Standard output. A signal does not wait for `writes`.
    pub fn new(writes: Writes) -> Self {
        Output {
            writer: None,
            under_way: 0,
            closed: false,
            written: Arc::default(),
            in_pages: None,
            writes,
        }
    }

    /// The same, for a run that must know how much was taken. Once `stop` is raised, it no longer
    /// waits for the reader of a full pipe.
    pub fn counted(stop: StopFlag) -> Self {
        // The run ends by itself, since it commits what was taken.
        let mut output = Output::new(Writes::default());
        output.in_pages = unread().map(|_| stop);
        output
    }

    /// Whether the reader has gone away.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the reader's progress is known within a write.
    pub fn is_in_pages(&self) -> bool {
        self.in_pages.is_some()
    }

    /// Bytes written so far by [`Output::write_now`].
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// The counter of these bytes.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// Hands a full buffer to the writing thread, and leaves an empty one in `out`.
    pub fn hand_on(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.closed || out.is_empty() {
            out.clear();
            return Ok(());
        }
        if self.writer.is_none() {
            self.writer = Some(start(self.writes.clone())?);
        }
        while self.under_way >= QUEUE {
            self.take_back(out)?;
        }
        let full = std::mem::take(out);
        if let Some(writer) = &self.writer
            && writer.chunks.send(full).is_ok()
        {
            self.under_way += 1;
        }
        while let Some(writer) = &self.writer
            && let Ok((buf, outcome)) = writer.back.try_recv()
        {
            self.came_back(buf, outcome, out)?;
        }
        if out.capacity() == 0 {
            out.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
        }
        Ok(())
    }

    /// Writes `out` after everything before it, and returns when that is done.
    pub fn write_now(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.write_records(out, &[])
    }

    /// The same; `ends` are the ends of the records in `out`, ascending. If records are short
    /// enough, each write ends at the end of a record, so that members that share a pipe do not
    /// split each other's records.
    pub fn write_records(&mut self, out: &mut Vec<u8>, ends: &[usize]) -> Result<()> {
        let mut spare = Vec::new();
        while self.under_way > 0 {
            self.take_back(&mut spare)?;
        }
        if self.closed || out.is_empty() {
            out.clear();
            return Ok(());
        }
        let outcome = match &self.in_pages {
            Some(stop) => write_in_pages(out, ends, &self.written, stop),
            None => self.writes.make(|| write_all(out, &self.written)),
        };
        out.clear();
        self.assess(outcome)
    }

    fn take_back(&mut self, spare: &mut Vec<u8>) -> Result<()> {
        let Some(writer) = &self.writer else {
            return Ok(());
        };
        match writer.back.recv() {
            Ok((buf, outcome)) => self.came_back(buf, outcome, spare),
            Err(_) => {
                self.under_way = 0;
                Ok(())
            }
        }
    }

    fn came_back(
        &mut self,
        mut buf: Vec<u8>,
        outcome: io::Result<()>,
        spare: &mut Vec<u8>,
    ) -> Result<()> {
        self.under_way -= 1;
        buf.clear();
        if spare.capacity() < buf.capacity() && spare.is_empty() {
            *spare = buf;
        }
        self.assess(outcome)
    }

    fn assess(&mut self, outcome: io::Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted
                ) =>
            {
                self.closed = true;
                Ok(())
            }
            Err(e) => {
                self.closed = true;
                Err(crate::cli::stdout::failed(e))
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            drop(writer.chunks);
            // The thread ends once its queue is written or the reader is gone.
            let _ = writer.thread.join();
        }
    }
}

fn start(writes: Writes) -> Result<Writer> {
    let (chunks, incoming) = sync_channel::<Vec<u8>>(QUEUE);
    let (give_back, back) = channel();
    let thread = std::thread::Builder::new()
        .name("write".to_owned())
        .spawn(move || {
            for chunk in incoming {
                let outcome = writes.make(|| write_all(&chunk, &AtomicU64::new(0)));
                if give_back.send((chunk, outcome)).is_err() {
                    return;
                }
            }
        })
        .map_err(|e| Error::io("start", "the writing thread", e))?;
    Ok(Writer {
        chunks,
        back,
        thread,
    })
}
