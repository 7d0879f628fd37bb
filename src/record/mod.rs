//! Kafka's record batch, version 2 ("magic 2"; `DefaultRecordBatch.java`, `DefaultRecord.java`):
//! the unit of append, checksum and compression, in files and in memory.
//!
//! A [`BatchBuilder`] builds batches, [`stamp()`] gives them their offsets, a [`BatchView`] reads
//! them. Everything from outside is checked before it is used, and nothing is allocated for a
//! length that exceeds the available bytes.
//!
//! Invariant: knows neither files nor topics; a [`Corrupt`] says where in the batch, its caller
//! says in which file.

mod builder;
mod compression;
mod corrupt;
mod filler;
mod header;
mod headers;
mod partitioner;
#[expect(
    clippy::module_inception,
    reason = "a file is called after the type that it defines"
)]
mod record;
mod snappy;
mod stamp;
#[cfg(test)]
mod tests;
mod thinning;
mod view;

pub use builder::{BatchBuilder, RECORD_OVERHEAD_MAX};
pub use compression::{Compressor, DECOMPRESSED_LEN_MAX, Decompressor};
pub use corrupt::Corrupt;
pub use filler::{BATCH_OFFSETS_MAX, emptied, filler};
pub use header::BATCH_LEN_MAX;
pub use header::{
    BASE_OFFSET_AT, BATCH_HEADER_LEN, BATCH_LENGTH_AT, BatchHeader, CRC_AT, LEADER_EPOCH_AT,
    LENGTH_FROM, MAGIC, MAGIC_AT,
};
pub use headers::{Header, HeaderIter, Headers};
pub use partitioner::{Partitioner, murmur2, partition_for_key};
pub use record::Record;
pub use stamp::{recompress, stamp, stamp_append_time};
pub use thinning::Thinner;
pub use view::{BatchView, Records};
