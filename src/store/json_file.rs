//! JSON files that carry a CRC-32 of themselves.
//!
//! The object's last member is `"crc32":"HHHHHHHH"` (8 lower-case hexadecimal digits, then `}` and
//! a newline): the CRC-32 (IEEE) of all bytes before the comma that stands before it.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::{Dir, File, Open, join};
use crate::error::{Error, Kind, Result};

/// `,"crc32":"HHHHHHHH"}` and a newline.
const TAIL_BYTES: usize = 21;
/// Most bytes of such a file that are read.
const BYTES_MAX: u64 = 16 << 20;

/// The file's bytes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|e| Error::new(Kind::Usage, format!("cannot be written as JSON: {e}")))?;
    bytes.pop();
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(format!(",\"crc32\":\"{crc:08x}\"}}\n").as_bytes());
    Ok(bytes)
}

/// The value in the file's bytes; `place` names the file.
///
/// # Errors
/// [`Kind::Damaged`] if anything is not as it was written.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], place: &Path) -> Result<T> {
    let damaged = |why: String| {
        Error::new(Kind::Damaged, format!("{} is damaged: {why}", place.display()))
            .cure("restore it from a backup")
    };
    let at = bytes.len().checked_sub(TAIL_BYTES).ok_or_else(|| damaged("it is too short".into()))?;
    let (body, tail) = bytes.split_at(at);
    let due = format!(",\"crc32\":\"{:08x}\"}}\n", crc32fast::hash(body));
    if tail != due.as_bytes() {
        return Err(damaged("its checksum does not match".into()));
    }
    let mut object = body.to_vec();
    object.push(b'}');
    serde_json::from_slice(&object).map_err(|e| damaged(e.to_string()))
}

/// All bytes of an open file.
pub fn read_all(file: &dyn File, place: &Path) -> Result<Vec<u8>> {
    let error = |e| Error::io("read", place, e);
    let len = file.len().map_err(error)?;
    if len > BYTES_MAX {
        return Err(Error::new(
            Kind::Damaged,
            format!("{} is damaged: it has {len} bytes", place.display()),
        ));
    }
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(&mut bytes, 0).map_err(error)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads a JSON file; `None` if there is none.
pub fn read<T: DeserializeOwned>(dir: &dyn Dir, name: &str) -> Result<Option<T>> {
    let path = join(dir, name);
    let file = match dir.open(name, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    decode(&read_all(&*file, &path)?, &path).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Sample {
        name: String,
        numbers: Vec<u64>,
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let sample = Sample { name: "ä\"x".into(), numbers: vec![1, 2, 3] };
        let bytes = encode(&sample).expect("encode");
        let place = Path::new("sample.json");
        assert_eq!(decode::<Sample>(&bytes, place).expect("decode"), sample);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let e = decode::<Sample>(&flipped, place).expect_err("flipped");
            assert_eq!(e.kind(), Kind::Damaged);
        }
        for cut in 0..bytes.len() {
            assert!(decode::<Sample>(&bytes[..cut], place).is_err());
        }
    }
}
