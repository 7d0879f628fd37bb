//! Which lines of the input the records under way came from.

use std::collections::VecDeque;

/// Where a record begins. They are in the order of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the source, from 0.
    pub source: usize,
    /// Its line, from 1.
    pub line: u64,
}

/// Where the records of one producer came from, by their numbers. A run of records with a line each
/// takes one entry.
#[derive(Debug, Default)]
pub struct Lines {
    runs: VecDeque<(u64, Place)>,
}

impl Lines {
    /// The record of that number begins there.
    pub fn begins(&mut self, sequence: u64, place: Place) {
        let expected = self
            .runs
            .back()
            .is_some_and(|run| place_of(run, sequence) == place);
        if !expected {
            self.runs.push_back((sequence, place));
        }
    }

    /// Forgets what lies before the first number that is not acknowledged.
    pub fn forget(&mut self, unacked: u64) {
        while self.runs.get(1).is_some_and(|(first, _)| *first <= unacked) {
            self.runs.pop_front();
        }
    }

    /// Where the record of that number began; none was ever entered: `None`.
    pub fn of(&self, sequence: u64) -> Option<Place> {
        let runs = self.runs.iter().rev();
        let mut before = runs.filter(|(first, _)| *first <= sequence);
        before.next().map(|run| place_of(run, sequence))
    }
}

fn place_of((first, place): &(u64, Place), sequence: u64) -> Place {
    Place {
        line: place.line + (sequence - first),
        ..*place
    }
}
