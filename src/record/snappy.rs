//! Snappy in Kafka's framing, that of the Java library by xerial: blocks behind a header
//! (`SnappyOutputStream.java`, `SnappyInputStream.java`).
//!
//! ```text
//!  | 82 S N A P P Y 00 | version | compatible | length | block | length | block | ...
//!  0                   8        12           16
//! ```
//!
//! Big-endian. As in the Java library and librdkafka, bytes without the header are one bare block,
//! and a header may occur again in place of a length (concatenated streams).

use super::corrupt::TOO_LARGE;
use crate::codec::{Malformed, Reader};
use crate::error::{Error, Kind, Result};

const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_VERSION: u32 = 1;
/// Bytes of the header behind the four that could be taken for a length.
const HEADER_TAIL_LEN: usize = 12;
/// Uncompressed bytes of a block: the Java library's default.
const BLOCK_LEN: usize = 32 << 10;
/// No element of a block makes more than 64 bytes of 3.
const EXPANSION_MAX: usize = 22;

const BROKEN: Malformed = Malformed("the records are not sound snappy blocks");

/// Compresses in xerial's framing.
#[derive(Default)]
pub(super) struct Compressor {
    encoder: Option<snap::raw::Encoder>,
    block: Vec<u8>,
}

impl Compressor {
    pub(super) fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&XERIAL_MAGIC);
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        self.block.resize(snap::raw::max_compress_len(BLOCK_LEN), 0);
        let encoder = self.encoder.get_or_insert_with(snap::raw::Encoder::new);
        for chunk in raw.chunks(BLOCK_LEN) {
            let len = encoder
                .compress(chunk, &mut self.block)
                .map_err(|e| Error::new(Kind::Io, format!("cannot compress with snappy: {e}")))?;
            out.extend_from_slice(&(len as u32).to_be_bytes());
            out.extend_from_slice(self.block.get(..len).unwrap_or_default());
        }
        Ok(())
    }
}

/// Appends the decompressed `bytes`, at most `limit` bytes in all.
pub(super) fn decompress(bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut decoder = snap::raw::Decoder::new();
    if !bytes.starts_with(&XERIAL_MAGIC) {
        return block(&mut decoder, bytes, limit, out);
    }
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let len = reader.array::<4>()?;
        if XERIAL_MAGIC.starts_with(&len) {
            read_header_tail(&mut reader)?;
        } else {
            let len = u32::from_be_bytes(len) as usize;
            block(&mut decoder, reader.bytes(len)?, limit, out)?;
        }
    }
    Ok(())
}

fn read_header_tail(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let mut tail = Reader::new(reader.bytes(HEADER_TAIL_LEN)?);
    let magic = tail.array::<4>()?;
    let version = tail.u32()?;
    if !XERIAL_MAGIC.ends_with(&magic) || version < XERIAL_VERSION {
        return Err(BROKEN);
    }
    Ok(())
}

fn block(
    decoder: &mut snap::raw::Decoder,
    bytes: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let len = snap::raw::decompress_len(bytes).map_err(|_| BROKEN)?;
    if len > bytes.len().saturating_mul(EXPANSION_MAX) {
        return Err(BROKEN);
    }
    let start = out.len();
    if len > limit.saturating_sub(start) {
        return Err(TOO_LARGE);
    }
    out.resize(start + len, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    match decoder.decompress(bytes, target) {
        Ok(made) if made == len => Ok(()),
        _ => Err(BROKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_block_and_streams_in_a_row_are_read_as_javas_reader_does() {
        let mut out = Vec::new();
        let bare = snap::raw::Encoder::new()
            .compress_vec(b"bare bare bare")
            .expect("compress");
        decompress(&bare, 64, &mut out).expect("bare");
        assert_eq!(out, b"bare bare bare");

        let mut framed = Vec::new();
        let mut compressor = Compressor::default();
        compressor.compress(b"one", &mut framed).expect("compress");
        compressor.compress(b"two", &mut framed).expect("compress");
        out.clear();
        decompress(&framed, 64, &mut out).expect("framed");
        assert_eq!(out, b"onetwo");
        out.clear();
        assert_eq!(decompress(&framed, 5, &mut out), Err(TOO_LARGE));
        framed.pop();
        out.clear();
        assert!(decompress(&framed, 64, &mut out).is_err());
    }

    #[test]
    fn a_claimed_length_without_bytes_behind_it_allocates_nothing() {
        let mut out = Vec::new();
        let claim = [0xff, 0xff, 0xff, 0x1f, 0x00];
        assert!(decompress(&claim, 64 << 20, &mut out).is_err());
        assert_eq!(out.capacity(), 0);
    }
}
