//! Writing out on a thread of its own while there is plenty, and at once while there is little.
//!
//! Where it matters how much a pipe's reader took, it is written in pages, each after the pipe said
//! that it has room: so no write blocks, and what was written is known to the byte at any time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::cli::signals::{StopFlag, Writes};
pub use crate::cli::stdout::unread;
use crate::cli::stdout::{write_all, write_in_pages};
use crate::error::{Error, Result};

/// Buffers under way to the writing thread.
const QUEUE: usize = 3;
/// A buffer is handed on at about this size.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// Standard output.
#[derive(Debug)]
pub struct Output {
    writer: Option<Writer>,
    under_way: usize,
    closed: bool,
    written: Arc<AtomicU64>,
    /// Writes to a pipe go in pages, until this is raised.
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

    /// The same, for a run that must know how much was taken; it gives up once `stop` is raised,
    /// as the reader of a full pipe is not waited for.
    pub fn counted(stop: StopFlag) -> Self {
        // What was taken is to be committed: it ends by itself.
        let mut output = Output::new(Writes::default());
        output.in_pages = unread().map(|_| stop);
        output
    }

    /// Whether the reader has gone away.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether it is known within a write how far its reader got.
    pub fn is_in_pages(&self) -> bool {
        self.in_pages.is_some()
    }

    /// Bytes written so far by [`Output::write_now`].
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Where these are counted.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// Hands a full buffer to the writing thread; `out` is another, empty one then.
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

    /// Writes `out` and everything before it, and returns when that is done.
    pub fn write_now(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.write_records(out, &[])
    }

    /// The same; `ends` are where records end in `out`, ascending. What is written at once ends with
    /// one, where they are short enough: members that share a pipe do not tear one another's.
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
            // It ends once its queue is written or its reader is gone.
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
