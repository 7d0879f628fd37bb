//! JSON files that carry a CRC-32 of themselves.
//!
//! Format: one JSON object, in UTF-8, whose last member is the checksum, in exactly this form:
//!
//! ```text
//! {
//!   "a": 1,
//!   "crc32": "0123abcd"
//! }
//! ```
//!
//! The value is the CRC-32 (IEEE) of all bytes before the line break that precedes that member,
//! its comma included, in eight lowercase hexadecimal digits; one line break ends the file. So
//! every byte is covered by the checksum or by its form.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::{Dir, File, join};
use crate::error::{Error, Kind, Result};

/// Longest JSON file that is read, bytes.
pub const LEN_MAX: usize = 16 << 20;

const TAIL_START: &[u8] = b"\n  \"crc32\": \"";
const TAIL_END: &[u8] = b"\"\n}\n";
const CRC_LEN: usize = 8;
const TAIL_LEN: usize = TAIL_START.len() + CRC_LEN + TAIL_END.len();

/// The file's bytes for a value that serializes as an object with at least one member.
///
/// # Panics
/// If it serializes as anything else: an error in the type, not in its value.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our types are plain objects");
    assert!(
        bytes.ends_with(b"\n}"),
        "an object with at least one member"
    );
    bytes.truncate(bytes.len() - 2);
    bytes.push(b',');
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(TAIL_START);
    bytes.extend_from_slice(format!("{crc:08x}").as_bytes());
    bytes.extend_from_slice(TAIL_END);
    bytes
}

/// The value in a file's bytes; `place` names the file in errors.
///
/// # Errors
/// [`Kind::Damaged`] for anything that [`encode`] of this type does not produce.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], place: impl Display) -> Result<T> {
    let object = object(bytes, &place)?;
    serde_json::from_slice(&object).map_err(|e| damaged(&place, &e.to_string()))
}

/// Reads and decodes a file; the returned handle can be [compared](File::is) with what the path
/// names later.
///
/// # Errors
/// [`Kind::Damaged`] as [`decode`]; the system's error from the open is kept as the source, so that
/// [`is_missing`] recognizes a missing file.
pub fn read<T: DeserializeOwned>(dir: &dyn Dir, name: &str) -> Result<(T, Arc<dyn File>)> {
    let (bytes, file) = read_bytes(dir, name)?;
    Ok((decode(&bytes, join(dir, name).display())?, file))
}

/// The JSON object in a file's bytes, its checksum verified and removed.
///
/// # Errors
/// [`Kind::Damaged`].
pub fn object(bytes: &[u8], place: impl Display) -> Result<Vec<u8>> {
    checked(bytes).ok_or_else(|| damaged(&place, "its checksum does not match"))
}

/// Reads a whole file, up to [`LEN_MAX`]; the returned handle can be [compared](File::is) with what
/// the path names later.
///
/// # Errors
/// [`Kind::Damaged`] for a longer one; [`Kind::Io`].
pub fn read_bytes(dir: &dyn Dir, name: &str) -> Result<(Vec<u8>, Arc<dyn File>)> {
    let file = dir
        .open_to_compare(name)
        .map_err(|e| Error::io("open", join(dir, name), e))?;
    let error = |e| Error::io("read", join(dir, name), e);
    let len = file.len().map_err(error)?;
    if len > LEN_MAX as u64 {
        return Err(damaged(
            &join(dir, name).display(),
            "it is longer than 16 MiB",
        ));
    }
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(&mut bytes, 0).map_err(error)?;
    bytes.truncate(read);
    Ok((bytes, file))
}

/// Whether the error means that a file does not exist.
pub fn is_missing(error: &Error) -> bool {
    error
        .io_source()
        .is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// The object without the checksum, if that matches.
fn checked(bytes: &[u8]) -> Option<Vec<u8>> {
    let (body, tail) = bytes.split_at_checked(bytes.len().checked_sub(TAIL_LEN)?)?;
    let crc = tail.strip_prefix(TAIL_START)?.strip_suffix(TAIL_END)?;
    if crc != format!("{:08x}", crc32fast::hash(body)).as_bytes() {
        return None;
    }
    let mut object = body.strip_suffix(b",")?.to_vec();
    object.push(b'}');
    Some(object)
}

fn damaged(place: &impl Display, why: &str) -> Error {
    Error::new(Kind::Damaged, format!("{place} is damaged: {why}"))
        .cure("restore it from a backup; mq writes these files itself, they are not to be edited")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        list: Vec<i64>,
        map: BTreeMap<String, String>,
    }

    fn sample() -> Sample {
        let map = [("crc32".to_owned(), "00000000".to_owned())].into();
        Sample {
            name: "ä\"\n".to_owned(),
            list: vec![1, -2, i64::MAX],
            map,
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(&sample());
        assert_eq!(decode::<Sample>(&bytes, "x").expect("whole"), sample());
        assert!(
            serde_json::from_slice::<serde_json::Value>(&bytes).is_ok(),
            "plain JSON"
        );
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = decode::<Sample>(&flipped, "topics/x.json").expect_err("damaged");
            assert_eq!(error.kind(), Kind::Damaged);
            assert!(error.to_string().contains("topics/x.json"));
        }
        for len in 0..bytes.len() {
            assert!(decode::<Sample>(&bytes[..len], "x").is_err(), "{len}");
        }
        assert!(decode::<Sample>(&[&bytes[..], b"\n"].concat(), "x").is_err());
    }

    #[test]
    fn a_right_checksum_on_a_wrong_object_is_damage_too() {
        let bytes = encode(&BTreeMap::from([("other", 1)]));
        assert_eq!(
            decode::<Sample>(&bytes, "x").expect_err("wrong").kind(),
            Kind::Damaged
        );
    }

    proptest! {
        #[test]
        fn any_value_comes_back(name in any::<String>(), list in any::<Vec<i64>>(),
                                map in any::<BTreeMap<String, String>>()) {
            let value = Sample { name, list, map };
            prop_assert_eq!(decode::<Sample>(&encode(&value), "x").expect("whole"), value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = decode::<Sample>(&bytes, "x");
        }
    }
}
