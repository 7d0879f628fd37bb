//! What goes in comes out: every byte, key, header and timestamp, in order, and nothing else. The
//! real tools on a real disk.

mod acknowledgements;
mod bytes;
mod copies;
mod followers;
mod numbers;
mod placement;
mod ranges;
mod tails;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
