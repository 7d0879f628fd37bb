//! The joining set in a leader's page: replicas about to join the ISR, which the high watermark
//! waits for already.

use crate::types::Uuid;

/// A replica that is about to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joining {
    /// The replica directory's id.
    pub replica: Uuid,
    /// The topic file's version that it read. After a newer version the entry no longer counts.
    pub version: u64,
}

/// Most replicas that join at the same time.
const PLACES: usize = 8;
/// Of a place: the replica's id, then the version, little-endian. Zeros: free.
const PLACE_BYTES: usize = 24;
const VERSION_AT: usize = 16;

/// The joining replicas: 8 at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JoiningSet([Option<Joining>; PLACES]);

impl JoiningSet {
    /// All of them, of any version.
    pub fn iter(&self) -> impl Iterator<Item = &Joining> {
        self.0.iter().flatten()
    }

    /// The replicas that join as of that version of the topic file.
    pub fn at(&self, version: u64) -> impl Iterator<Item = Uuid> {
        let joining = self.0.into_iter().flatten();
        joining
            .filter(move |joining| joining.version == version)
            .map(|joining| joining.replica)
    }

    /// Enters one; entries of other versions go. `false` if there is no room.
    pub(crate) fn enter(&mut self, joining: Joining) -> bool {
        for place in &mut self.0 {
            if place.is_some_and(|other| {
                other.version != joining.version || other.replica == joining.replica
            }) {
                *place = None;
            }
        }
        match self.0.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(joining);
                true
            }
            None => false,
        }
    }

    /// The bytes in a page.
    pub(crate) fn encode(&self) -> [u8; PLACES * PLACE_BYTES] {
        let mut raw = [0; PLACES * PLACE_BYTES];
        for (place, joining) in raw.chunks_exact_mut(PLACE_BYTES).zip(self.iter()) {
            let (replica, version) = place.split_at_mut(VERSION_AT);
            replica.copy_from_slice(&joining.replica.0);
            version.copy_from_slice(&joining.version.to_le_bytes());
        }
        raw
    }

    /// From the bytes of a page that begin with it. `None` if they are too few.
    pub(crate) fn decode(raw: &[u8]) -> Option<Self> {
        let mut all = [None; PLACES];
        let raw = raw.get(..PLACES * PLACE_BYTES)?;
        for (place, bytes) in all.iter_mut().zip(raw.chunks_exact(PLACE_BYTES)) {
            let (replica, version) = bytes.split_at(VERSION_AT);
            let joining = Joining {
                replica: Uuid(replica.try_into().ok()?),
                version: u64::from_le_bytes(version.try_into().ok()?),
            };
            *place = Some(joining).filter(|joining| joining.replica != Uuid::ZERO);
        }
        Some(JoiningSet(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joins_counts_as_long_as_the_version_stands() {
        let mut set = JoiningSet::default();
        let joining = |n: u8, version| Joining {
            replica: Uuid([n; 16]),
            version,
        };
        for n in 1..=8 {
            assert!(set.enter(joining(n, 3)));
        }
        assert_eq!(JoiningSet::decode(&set.encode()), Some(set));
        assert!(!set.enter(joining(9, 3)));
        assert!(set.enter(joining(8, 3)));
        assert_eq!(set.at(3).count(), 8);
        assert_eq!(set.at(4).count(), 0);
        assert!(set.enter(joining(9, 4)));
        assert_eq!(set.at(4).collect::<Vec<_>>(), [Uuid([9; 16])]);
        assert_eq!(set.at(3).count(), 0);
    }
}
