//! The input lines of the records that are not acknowledged yet.

use std::collections::VecDeque;

/// Where a record begins. Places are ordered as in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputLine {
    /// The number of the source, from 0.
    pub source: usize,
    /// Its line, from 1.
    pub line: u64,
}

/// Where the records of one producer began, by sequence number. Consecutive records of one line
/// each share an entry.
#[derive(Debug, Default)]
pub struct Lines {
    runs: VecDeque<(u64, InputLine)>,
}

impl Lines {
    /// Notes where the record of that number begins.
    pub fn begins(&mut self, sequence: u64, place: InputLine) {
        let expected = self
            .runs
            .back()
            .is_some_and(|run| place_of(run, sequence) == place);
        if !expected {
            self.runs.push_back((sequence, place));
        }
    }

    /// Forgets everything before the first number that is not acknowledged.
    pub fn forget(&mut self, unacked: u64) {
        while self.runs.get(1).is_some_and(|(first, _)| *first <= unacked) {
            self.runs.pop_front();
        }
    }

    /// Where the record of that number began; `None` if it was never noted.
    pub fn of(&self, sequence: u64) -> Option<InputLine> {
        let runs = self.runs.iter().rev();
        let mut before = runs.filter(|(first, _)| *first <= sequence);
        before.next().map(|run| place_of(run, sequence))
    }
}

fn place_of((first, place): &(u64, InputLine), sequence: u64) -> InputLine {
    InputLine {
        line: place.line + (sequence - first),
        ..*place
    }
}
