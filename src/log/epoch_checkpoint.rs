//! Leader epochs of a log: which epoch began at which offset.
//!
//! Kept in `leader-epoch-checkpoint`, text (`LeaderEpochCheckpointFile.java`): a line `0` (the
//! version), a line with the number of entries, then a line `EPOCH START` each, both ascending.

use crate::error::{Error, Kind, Result};
use crate::types::{LeaderEpoch, Offset};

/// The epochs in ascending order, each with the offset at which it began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderEpochs {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl LeaderEpochs {
    /// The file's name.
    pub const FILE: &'static str = "leader-epoch-checkpoint";

    /// Reads the file's text.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is not exactly of this form.
    pub fn parse(text: &[u8]) -> Result<Self> {
        parse(text).ok_or_else(|| {
            Error::new(
                Kind::Damaged,
                "leader-epoch-checkpoint is not in Kafka's form",
            )
        })
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for (epoch, start) in &self.entries {
            text.push_str(&format!("{epoch} {start}\n"));
        }
        text
    }

    /// Adds an epoch that begins at `start`. Epochs that would begin at or after `start` and hold
    /// no record are replaced. Returns whether anything changed.
    pub fn begin(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if self.entries.last().is_some_and(|(last, _)| *last >= epoch) {
            return false;
        }
        while self.entries.last().is_some_and(|(_, s)| *s >= start) {
            self.entries.pop();
        }
        self.entries.push((epoch, start));
        true
    }

    /// Removes epochs that begin at or after `end`. Returns whether anything changed.
    pub fn cut(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(_, start)| *start < end);
        self.entries.len() != before
    }

    /// Whether an epoch ends at or below `first`, where the log's first segment begins.
    pub fn has_ended_by(&self, first: Offset) -> bool {
        self.entries
            .get(1)
            .is_some_and(|(_, start)| *start <= first)
    }

    /// Removes the epochs that end at or below `first`, where the log's first segment begins; never the
    /// last one. The first that is left keeps its start: batches from `first` on confirm it.
    pub fn forget_ended_by(&mut self, first: Offset) {
        let begun = self.entries.partition_point(|(_, start)| *start <= first);
        self.entries.drain(..begun.saturating_sub(1));
    }

    /// The entries, ascending.
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The largest epoch.
    pub fn last(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// The epoch that a record at `offset` must have; `None` before the first entry.
    pub fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.entries
            .iter()
            .rev()
            .find(|(_, start)| *start <= offset)
            .map(|(epoch, _)| *epoch)
    }

    /// The offset where `epoch` ends: the start of the next larger one, or `log_end` if it is the
    /// last. `None` if there is no such epoch.
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<Offset> {
        let at = self.entries.iter().position(|(e, _)| *e == epoch)?;
        Some(
            self.entries
                .get(at + 1)
                .map_or(log_end, |(_, start)| *start),
        )
    }
}

fn parse(text: &[u8]) -> Option<LeaderEpochs> {
    let mut lines = std::str::from_utf8(text)
        .ok()?
        .strip_suffix('\n')?
        .split('\n');
    if lines.next()? != "0" {
        return None;
    }
    let count: usize = lines.next()?.parse().ok()?;
    let mut entries: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for line in lines {
        let (epoch, start) = line.split_once(' ')?;
        let entry: (LeaderEpoch, Offset) = (epoch.parse().ok()?, start.parse().ok()?);
        let rising = entries
            .last()
            .is_none_or(|last| last.0 < entry.0 && last.1 <= entry.1);
        if !rising || entry.0 < 0 || entry.1 < 0 {
            return None;
        }
        entries.push(entry);
    }
    (entries.len() == count).then_some(LeaderEpochs { entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_other_text_is_refused() {
        let mut epochs = LeaderEpochs::default();
        assert!(epochs.begin(0, 0));
        assert!(epochs.begin(3, 17));
        assert!(!epochs.begin(3, 20));
        assert_eq!(epochs.to_text(), "0\n2\n0 0\n3 17\n");
        assert_eq!(
            LeaderEpochs::parse(epochs.to_text().as_bytes()).expect("parse"),
            epochs
        );
        for bad in [
            "",
            "0\n1\n",
            "1\n0\n",
            "0\n2\n0 0\n",
            "0\n2\n3 0\n1 5\n",
            "0\n1\n0 x\n",
        ] {
            assert_eq!(
                LeaderEpochs::parse(bad.as_bytes()).expect_err(bad).kind(),
                Kind::Damaged
            );
        }
    }

    #[test]
    fn epochs_below_the_first_segment_go() {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in [(0, 0), (2, 5), (4, 9)] {
            epochs.begin(epoch, start);
        }
        for (first, left) in [
            (4, &[(0, 0), (2, 5), (4, 9)][..]),
            (5, &[(2, 5), (4, 9)]),
            (8, &[(2, 5), (4, 9)]),
            (9, &[(4, 9)]),
            (90, &[(4, 9)]),
        ] {
            let mut kept = epochs.clone();
            assert_eq!(kept.has_ended_by(first), left.len() < 3, "{first}");
            kept.forget_ended_by(first);
            assert_eq!(kept.entries(), left, "{first}");
        }
        let mut none = LeaderEpochs::default();
        none.forget_ended_by(7);
        assert_eq!(none, LeaderEpochs::default());
    }

    #[test]
    fn an_epoch_without_records_gives_way() {
        let mut epochs = LeaderEpochs::default();
        epochs.begin(0, 0);
        epochs.begin(1, 5);
        epochs.begin(2, 5);
        assert_eq!(epochs.entries(), [(0, 0), (2, 5)]);
        assert_eq!(epochs.at(4), Some(0));
        assert_eq!(epochs.at(5), Some(2));
        assert_eq!(epochs.end_of(0, 9), Some(5));
        assert_eq!(epochs.end_of(2, 9), Some(9));
        assert_eq!(epochs.end_of(1, 9), None);
        assert!(epochs.cut(5));
        assert_eq!(epochs.entries(), [(0, 0)]);
    }
}
