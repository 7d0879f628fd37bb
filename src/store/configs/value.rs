//! Values of configs, parsed and printed.

use std::ops::RangeInclusive;

use super::{NEVER, invalid};
use crate::error::{Result, near_names};
use crate::types::Compression;

/// `compression.type`: a codec, or (none) the producer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compressor(pub Option<Compression>);

impl Compressor {
    pub const ALL: [Compressor; 6] = [
        Compressor(None),
        Compressor(Some(Compression::None)),
        Compressor(Some(Compression::Gzip)),
        Compressor(Some(Compression::Snappy)),
        Compressor(Some(Compression::Lz4)),
        Compressor(Some(Compression::Zstd)),
    ];

    /// Kafka's spelling (`BrokerCompressionType.java`).
    pub fn as_str(self) -> &'static str {
        match self.0 {
            None => "producer",
            Some(Compression::None) => "uncompressed",
            Some(codec) => codec.as_str(),
        }
    }
}

/// One of several words.
pub(super) fn parse_choice<T: Copy>(
    name: &str,
    value: &str,
    choices: &[T],
    spell: impl Fn(T) -> &'static str,
) -> Result<T> {
    if let Some(choice) = choices.iter().find(|choice| spell(**choice) == value) {
        return Ok(*choice);
    }
    let words: Vec<&str> = choices.iter().map(|choice| spell(*choice)).collect();
    let near = near_names(value, words.iter().copied());
    let cure = if near.is_empty() {
        format!("use {}", words.join(", "))
    } else {
        format!(
            "did you mean {}? It may be {}",
            near.join(", "),
            words.join(", ")
        )
    };
    Err(invalid(format!("{name} cannot be '{}'", value.escape_debug())).cure(cure))
}

/// A whole number in a range; `never` for [`NEVER`] where that is a value.
pub(super) fn parse_count(
    name: &str,
    value: &str,
    range: RangeInclusive<i64>,
    may_be_never: bool,
) -> Result<i64> {
    if may_be_never && value == "never" {
        return Ok(NEVER);
    }
    match value.parse::<i64>() {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => {
            let (min, max) = (range.start(), range.end());
            let cure = if may_be_never {
                format!("use a whole number from {min}, or never")
            } else {
                format!("use a whole number from {min} to {max}")
            };
            Err(invalid(format!("{name} cannot be '{}'", value.escape_debug())).cure(cure))
        }
    }
}

/// The number, or `never`.
pub(super) fn print_count(count: i64) -> String {
    if count == NEVER {
        "never".to_owned()
    } else {
        count.to_string()
    }
}
