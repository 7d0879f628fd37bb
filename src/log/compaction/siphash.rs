//! SipHash-2-4 with 128 bits (Aumasson and Bernstein). With a key that nobody knows, nobody can choose
//! two keys of records that collide, and by chance none do.

/// Hashes under one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct SipHash {
    k0: u64,
    k1: u64,
}

impl SipHash {
    pub(super) fn new(key: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = key;
        SipHash {
            k0: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            k1: u64::from_le_bytes(rest),
        }
    }

    /// The hash as two words, the first bytes first.
    pub(super) fn hash(self, bytes: &[u8]) -> [u64; 2] {
        let mut v = [
            self.k0 ^ 0x736f_6d65_7073_6575,
            self.k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            self.k0 ^ 0x6c79_6765_6e65_7261,
            self.k1 ^ 0x7465_6462_7974_6573,
        ];
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            take(&mut v, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = bytes.len() as u8;
        take(&mut v, u64::from_le_bytes(last));
        v[2] ^= 0xee;
        rounds(&mut v, 4);
        let low = v[0] ^ v[1] ^ v[2] ^ v[3];
        v[1] ^= 0xdd;
        rounds(&mut v, 4);
        [low, v[0] ^ v[1] ^ v[2] ^ v[3]]
    }
}

fn take(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
}

fn rounds(v: &mut [u64; 4], n: usize) {
    let [mut a, mut b, mut c, mut d] = *v;
    for _ in 0..n {
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
    }
    *v = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the reference implementation (`vectors_sip128`): the key counts up from 0, and so do
    /// the bytes.
    #[test]
    fn hashes_are_those_of_the_reference() {
        let key = std::array::from_fn(|at| at as u8);
        let sip = SipHash::new(key);
        let hash = |bytes: &[u8]| {
            let [low, high] = sip.hash(bytes);
            [low.to_le_bytes(), high.to_le_bytes()].concat()
        };
        let none = [
            0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
            0x02, 0x93,
        ];
        assert_eq!(hash(&[]), none);
        let one = [
            0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22,
            0xfc, 0x45,
        ];
        assert_eq!(hash(&[0]), one);
    }

    #[test]
    fn another_key_hashes_otherwise() {
        let hash = |key: u8| SipHash::new([key; 16]).hash(b"a key of some length");
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
