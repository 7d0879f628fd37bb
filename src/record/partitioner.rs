//! Which partition a key belongs to: the hashes of Kafka's clients, so that a key goes to the
//! partition that they would choose.

use std::str::FromStr;

use crate::error::{Error, Kind};
use crate::types::PartitionId;

/// How a key is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Partitioner {
    /// As Kafka's Java client.
    #[default]
    Murmur2,
    /// As librdkafka's `consistent_random`: CRC-32 (IEEE).
    Crc32,
}

impl Partitioner {
    /// Every partitioner.
    pub const ALL: [Partitioner; 2] = [Partitioner::Murmur2, Partitioner::Crc32];

    /// The name of the hash.
    pub fn as_str(self) -> &'static str {
        match self {
            Partitioner::Murmur2 => "murmur2",
            Partitioner::Crc32 => "crc32",
        }
    }
}

impl FromStr for Partitioner {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|p| p.as_str() == s);
        found.ok_or_else(|| {
            let what = format!("'{}' is not a partitioner", s.escape_debug());
            let names = Self::ALL.map(Self::as_str);
            Error::new(Kind::Usage, what).cure(format!("use one of {}", names.join(", ")))
        })
    }
}

/// The partition of `key` among `partitions`, which is at least 1. librdkafka gives an empty key
/// any partition, as it does a null one; here it is hashed, so that one key keeps one partition.
#[inline]
pub fn partition_for_key(
    partitioner: Partitioner,
    key: &[u8],
    partitions: PartitionId,
) -> PartitionId {
    let partitions = partitions.max(1) as u32;
    let hash = match partitioner {
        Partitioner::Murmur2 => murmur2(key) & 0x7fff_ffff,
        Partitioner::Crc32 => crc32fast::hash(key),
    };
    (hash % partitions) as PartitionId
}

/// MurmurHash2 in 32 bits with the seed of Kafka's Java client (`Utils.java`).
#[inline]
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let (words, tail) = key.as_chunks::<4>();
    let mut hash = SEED ^ key.len() as u32;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (n, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * n);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_that_of_the_java_client() {
        for (key, hash) in [
            ("21", -973932308_i32),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58897971,
            ),
            ("abc", 479470107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_key_finds_its_partition() {
        // CRC-32 of this text is the check value of the polynomial: 0xcbf43926.
        assert_eq!(
            partition_for_key(Partitioner::Crc32, b"123456789", 1000),
            3_421_780_262_u32.rem_euclid(1000) as i32
        );
        assert_eq!(
            partition_for_key(Partitioner::Murmur2, b"foobar", 7),
            1357151166 % 7
        );
        for partitioner in Partitioner::ALL {
            assert_eq!(partition_for_key(partitioner, b"", 1), 0);
            assert_eq!(
                partitioner.as_str().parse::<Partitioner>().expect("name"),
                partitioner
            );
        }
    }
}
