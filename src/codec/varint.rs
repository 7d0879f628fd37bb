//! Variable-length integers as Kafka and Protocol Buffers write them (`ByteUtils.java`): zigzag,
//! then groups of seven bits, lowest first, the high bit set on all but the last byte.

/// Most bytes of a 32-bit varint.
pub const VARINT_LEN_MAX: usize = 5;
/// Most bytes of a 64-bit varint.
pub const VARLONG_LEN_MAX: usize = 10;

/// Zigzag encoding: moves the sign into the lowest bit, so that small negative numbers stay short.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Reverses [`zigzag`].
#[inline]
pub const fn unzigzag(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

/// Encoded length of `value`, 1 to 10 bytes. An i32 takes the same as a varint and as a varlong.
#[inline]
pub const fn len(value: i64) -> usize {
    ((zigzag(value) | 1).ilog2() / 7 + 1) as usize
}

/// Appends `value`.
#[inline]
pub fn push(out: &mut Vec<u8>, value: i64) {
    let mut folded = zigzag(value);
    while folded >= 0x80 {
        out.push(folded as u8 | 0x80);
        folded >>= 7;
    }
    out.push(folded as u8);
}

/// Writes `value` into `out` from `at` on and returns the place after it.
///
/// # Panics
/// If fewer than [`len`] bytes are left in `out`.
#[inline]
pub fn put(out: &mut [u8], mut at: usize, value: i64) -> usize {
    let mut folded = zigzag(value);
    while folded >= 0x80 {
        out[at] = folded as u8 | 0x80;
        folded >>= 7;
        at += 1;
    }
    out[at] = folded as u8;
    at + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Reader;

    #[test]
    fn known_encodings() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8192, &[0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            push(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(
                i64::from(Reader::new(bytes).varint().expect("varint")),
                value
            );
            assert_eq!(Reader::new(bytes).varlong().expect("varlong"), value);
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value: i64, small in -70000i64..70000) {
            for value in [value, small, value >> 32] {
                let mut out = Vec::new();
                push(&mut out, value);
                prop_assert_eq!(out.len(), len(value));
                let mut fixed = [0; VARLONG_LEN_MAX];
                let end = put(&mut fixed, 0, value);
                prop_assert_eq!(&fixed[..end], &out[..]);
                let mut reader = Reader::new(&out);
                prop_assert_eq!(reader.varlong(), Ok(value));
                prop_assert!(reader.is_empty());
                if let Ok(narrow) = i32::try_from(value) {
                    let mut reader = Reader::new(&out);
                    prop_assert_eq!(reader.varint(), Ok(narrow));
                    prop_assert!(reader.is_empty());
                } else {
                    prop_assert!(Reader::new(&out).varint().is_err());
                }
                for cut in 0..out.len() {
                    prop_assert!(Reader::new(&out[..cut]).varlong().is_err());
                    prop_assert!(Reader::new(&out[..cut]).varint().is_err());
                }
            }
        }
    }
}
