//! Which lines of the input the records under way came from.

use std::collections::VecDeque;

/// Which input line a record came from, by its number. A run of records with a line each takes
/// one entry.
#[derive(Debug, Default)]
pub struct Lines {
    runs: VecDeque<(u64, String, u64, bool)>,
    /// The current source.
    pub source: String,
}

impl Lines {
    /// The record of that number begins at `line` of the current source.
    pub fn begins(&mut self, sequence: u64, line: u64) {
        let expected = self.runs.back().is_some_and(|(first, source, at, _)| {
            *source == self.source && at + (sequence - first) == line
        });
        if !expected {
            self.runs
                .push_back((sequence, self.source.clone(), line, true));
        }
    }

    /// Forgets what lies before the first number that is not acknowledged.
    pub fn forget(&mut self, unacked: u64) {
        while self
            .runs
            .get(1)
            .is_some_and(|(first, ..)| *first <= unacked)
        {
            self.runs.pop_front();
        }
    }

    pub fn of(&self, sequence: u64) -> String {
        self.runs
            .iter()
            .rev()
            .find(|(first, ..)| *first <= sequence)
            .map_or_else(
                || format!("record {}", sequence + 1),
                |(first, source, line, _)| {
                    format!("line {} of {source}", line + (sequence - first))
                },
            )
    }
}
