//! The codecs of a batch's records, in the framings that Kafka's Java client reads and writes: gzip
//! (RFC 1952), snappy in xerial's framing, LZ4 frames of independent 64 KiB blocks, zstd.
//!
//! Both directions keep their working memory from batch to batch. Decompression stops at a limit,
//! so that a few bytes cannot allocate a gigabyte.

use std::io::{BufRead, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::{Compress, FlushCompress, Status};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use zstd::zstd_safe::{self, CCtx, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::corrupt::TOO_LARGE;
use super::snappy;
use crate::codec::Malformed;
use crate::error::{Error, Kind, Result};
use crate::types::Compression;

/// The default limit for what the records of one batch may decompress to, bytes.
pub const DECOMPRESSED_LEN_MAX: usize = 64 << 20;

/// Least space offered to a codec at a time.
const STEP_LEN_MIN: usize = 32 << 10;

/// Compresses records; keeps the codecs' memory from one batch to the next.
#[derive(Default)]
pub struct Compressor {
    gzip: Option<Compress>,
    snappy: snappy::Compressor,
    lz4: Option<FrameEncoder<Vec<u8>>>,
    zstd: Option<CCtx<'static>>,
}

impl Compressor {
    /// Allocates nothing until a codec is used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `raw`, compressed at the codec's default level, to `out`.
    ///
    /// # Errors
    /// [`Kind::Io`] if a codec fails, which only a lack of memory can cause.
    pub fn compress(
        &mut self,
        compression: Compression,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match compression {
            Compression::None => out.extend_from_slice(raw),
            Compression::Gzip => self.gzip(raw, out)?,
            Compression::Snappy => self.snappy.compress(raw, out)?,
            Compression::Lz4 => self.lz4(raw, out)?,
            Compression::Zstd => self.zstd(raw, out)?,
        }
        Ok(())
    }

    /// Header, deflate stream, CRC-32 and length, as in RFC 1952: this way the deflater's state can
    /// be kept.
    fn gzip(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        let deflate = self
            .gzip
            .get_or_insert_with(|| Compress::new(flate2::Compression::default(), false));
        deflate.reset();
        out.extend_from_slice(&GZIP_HEADER);
        let mut rest = raw;
        loop {
            out.reserve((rest.len() / 2).max(STEP_LEN_MIN));
            let read_before = deflate.total_in();
            let status = deflate
                .compress_vec(rest, out, FlushCompress::Finish)
                .map_err(|e| failed("gzip", e))?;
            let read = (deflate.total_in() - read_before) as usize;
            rest = rest.get(read..).unwrap_or_default();
            if status == Status::StreamEnd {
                break;
            }
        }
        out.extend_from_slice(&crc32fast::hash(raw).to_le_bytes());
        out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        Ok(())
    }

    fn lz4(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if raw.is_empty() {
            // A used encoder does not open a frame for empty input.
            self.lz4 = None;
        }
        let encoder = self.lz4.get_or_insert_with(|| {
            let frame = FrameInfo::new()
                .block_mode(BlockMode::Independent)
                .block_size(BlockSize::Max64KB);
            FrameEncoder::with_frame_info(frame, Vec::new())
        });
        std::mem::swap(encoder.get_mut(), out);
        let written = encoder
            .write_all(raw)
            .and_then(|()| encoder.try_finish().map_err(std::io::Error::from));
        std::mem::swap(encoder.get_mut(), out);
        if let Err(e) = written {
            self.lz4 = None;
            return Err(failed("lz4", e));
        }
        Ok(())
    }

    fn zstd(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if self.zstd.is_none() {
            self.zstd = CCtx::try_create();
        }
        let context = self
            .zstd
            .as_mut()
            .ok_or_else(|| failed("zstd", "out of memory"))?;
        let fail = |code| failed("zstd", zstd_safe::get_error_name(code));
        context.reset(ResetDirective::SessionOnly).map_err(fail)?;
        context
            .set_pledged_src_size(Some(raw.len() as u64))
            .map_err(fail)?;
        out.reserve(zstd_safe::compress_bound(raw.len()));
        let mut input = InBuffer::around(raw);
        loop {
            let at = out.len();
            let mut output = OutBuffer::around_pos(out, at);
            let left = context
                .compress_stream2(
                    &mut output,
                    &mut input,
                    zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_end,
                )
                .map_err(fail)?;
            if left == 0 {
                return Ok(());
            }
            out.reserve(left.max(STEP_LEN_MIN));
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

fn failed(codec: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Io, format!("cannot compress with {codec}: {why}"))
}

/// Decompresses records up to a limit; keeps its buffer from one batch to the next.
pub struct Decompressor {
    limit: usize,
    topic_limit: usize,
    buffer: Vec<u8>,
    zstd: Option<DCtx<'static>>,
}

impl Decompressor {
    /// Refuses input that decompresses to more than `limit` bytes. Allocates nothing until the
    /// first compressed batch.
    pub fn new(limit: usize) -> Self {
        Decompressor {
            limit,
            topic_limit: 0,
            buffer: Vec::new(),
            zstd: None,
        }
    }

    /// Also allows batches to decompress to `bytes`, if that is more than the limit it was created
    /// with; a later call replaces this one. For the limit of a topic.
    pub fn allow(&mut self, bytes: usize) {
        self.topic_limit = bytes;
    }

    /// What the last batch that was compressed decompressed to.
    pub(crate) fn decompressed(&self) -> &[u8] {
        &self.buffer
    }

    /// The decompressed `bytes`; without compression, `bytes` themselves.
    ///
    /// # Errors
    /// Bytes that are not of that codec, more than the limit, trailing bytes.
    pub fn decompress<'s>(
        &'s mut self,
        compression: Compression,
        bytes: &'s [u8],
    ) -> Result<&'s [u8], Malformed> {
        self.buffer.clear();
        let limit = self.limit.max(self.topic_limit);
        match compression {
            Compression::None => return Ok(bytes),
            Compression::Gzip => gzip(bytes, limit, &mut self.buffer)?,
            Compression::Snappy => snappy::decompress(bytes, limit, &mut self.buffer)?,
            Compression::Lz4 => lz4(bytes, limit, &mut self.buffer)?,
            Compression::Zstd => self.zstd(bytes, limit)?,
        }
        Ok(&self.buffer)
    }

    fn zstd(&mut self, bytes: &[u8], limit: usize) -> Result<(), Malformed> {
        const BROKEN: Malformed = Malformed("the records are not a sound zstd frame");
        if self.zstd.is_none() {
            self.zstd = DCtx::try_create();
        }
        let context = self
            .zstd
            .as_mut()
            .ok_or(Malformed("no memory to decompress zstd"))?;
        context
            .reset(ResetDirective::SessionOnly)
            .map_err(|_| BROKEN)?;
        let mut input = InBuffer::around(bytes);
        // One byte over the limit is enough to see that there is more.
        let most = limit.saturating_add(1);
        loop {
            let at = self.buffer.len();
            if at == self.buffer.capacity() {
                let step = at.max(bytes.len().saturating_mul(4)).max(STEP_LEN_MIN);
                self.buffer.reserve_exact(step.min(most - at));
            }
            let read_before = input.pos();
            let mut output = OutBuffer::around_pos(&mut self.buffer, at);
            let hint = context
                .decompress_stream(&mut output, &mut input)
                .map_err(|_| BROKEN)?;
            if self.buffer.len() > limit {
                return Err(TOO_LARGE);
            }
            let read_all = input.pos() == bytes.len();
            if hint == 0 && read_all {
                return Ok(());
            }
            let moved = input.pos() > read_before || self.buffer.len() > at;
            if !moved || (read_all && self.buffer.len() < self.buffer.capacity()) {
                return Err(BROKEN);
            }
        }
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new(DECOMPRESSED_LEN_MAX)
    }
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

fn gzip(bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    MultiGzDecoder::new(bytes)
        .take(limit as u64 + 1)
        .read_to_end(out)
        .map_err(|_| Malformed("the records are not a sound gzip stream"))?;
    if out.len() > limit {
        Err(TOO_LARGE)
    } else {
        Ok(())
    }
}

fn lz4(bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    const BROKEN: Malformed = Malformed("the records are not a sound LZ4 frame");
    const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
    const INDEPENDENT_BLOCKS_BIT: u8 = 1 << 5;
    // Kafka reads neither legacy frames nor blocks that refer to each other.
    let flags = bytes
        .strip_prefix(&LZ4_MAGIC)
        .and_then(|rest| rest.first())
        .ok_or(BROKEN)?;
    if flags & INDEPENDENT_BLOCKS_BIT == 0 {
        return Err(Malformed(
            "the blocks of the LZ4 frame depend on each other",
        ));
    }
    let mut decoder = FrameDecoder::new(Witness {
        rest: bytes,
        ran_out: false,
    });
    loop {
        let block = decoder.fill_buf().map_err(|_| BROKEN)?;
        if block.is_empty() {
            break;
        }
        if block.len() > limit - out.len() {
            return Err(TOO_LARGE);
        }
        out.extend_from_slice(block);
        let len = block.len();
        decoder.consume(len);
    }
    let source = decoder.into_inner();
    if source.ran_out || !source.rest.is_empty() {
        Err(BROKEN)
    } else {
        Ok(())
    }
}

/// A reader that remembers whether the decoder asked for more than there was: the LZ4 decoder takes
/// the end of its input for the end of the frame.
struct Witness<'a> {
    rest: &'a [u8],
    ran_out: bool,
}

impl Read for Witness<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.ran_out |= buf.len() > self.rest.len();
        self.rest.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decompression_stops_at_the_limit() {
        let zeros = vec![0; 8 << 20];
        for compression in Compression::ALL
            .into_iter()
            .filter(|c| *c != Compression::None)
        {
            let mut bomb = Vec::new();
            Compressor::new()
                .compress(compression, &zeros, &mut bomb)
                .expect("compress");
            let mut scratch = Decompressor::new(1 << 20);
            let why = scratch.decompress(compression, &bomb).expect_err("a bomb");
            assert_eq!(why.0, "the records decompress to more than the limit");
            assert!(
                scratch.buffer.capacity() <= 4 << 20,
                "{}",
                compression.as_str()
            );
            // The limit is exact, and the same scratch can be used again.
            for (limit, fits) in [(zeros.len(), true), (zeros.len() - 1, false)] {
                let mut scratch = Decompressor::new(limit);
                assert_eq!(scratch.decompress(compression, &bomb).is_ok(), fits);
            }
            let mut small = Vec::new();
            Compressor::new()
                .compress(compression, b"small", &mut small)
                .expect("compress");
            assert_eq!(
                scratch.decompress(compression, &small).expect("small"),
                b"small"
            );
        }
    }

    #[test]
    fn lz4_frames_that_kafka_cannot_read_are_refused() {
        use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
        let frame = FrameInfo::new().block_mode(BlockMode::Linked);
        let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
        std::io::Write::write_all(&mut encoder, b"linked").expect("write");
        let linked = encoder.finish().expect("finish");
        assert!(
            Decompressor::default()
                .decompress(Compression::Lz4, &linked)
                .is_err()
        );
        let mut ours = Vec::new();
        Compressor::new()
            .compress(Compression::Lz4, b"ours", &mut ours)
            .expect("compress");
        // Version 1, independent blocks, no checksums; 64 KiB.
        assert_eq!(ours[..6], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40]);
    }

    #[test]
    fn no_bytes_at_all_come_back_from_every_codec() {
        let mut compressor = Compressor::new();
        let mut scratch = Decompressor::default();
        for raw in [&b"used"[..], b"", b"", b"used again"] {
            for compression in Compression::ALL {
                let mut out = Vec::new();
                compressor
                    .compress(compression, raw, &mut out)
                    .expect("compress");
                assert_eq!(
                    scratch.decompress(compression, &out),
                    Ok(raw),
                    "{}",
                    compression.as_str()
                );
            }
        }
    }
}
