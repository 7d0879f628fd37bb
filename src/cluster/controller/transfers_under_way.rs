//! Leadership transfers that the controller began together, in a thread of their own.

use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use super::leadership_transfer::Witness;
use super::state::PlannedMove;
use crate::error::{Error, Kind, Result};

/// Transfers that were begun together.
#[derive(Debug)]
pub(crate) struct TransfersUnderWay {
    planned: Vec<Option<PlannedMove>>,
    /// When they began.
    pub since: Duration,
    ends: Receiver<(usize, Result<()>)>,
}

impl TransfersUnderWay {
    /// Transfers that begin now; `ends`: the index of each, and how it ended.
    pub fn new(
        planned: Vec<PlannedMove>,
        now: Duration,
        ends: Receiver<(usize, Result<()>)>,
    ) -> Self {
        TransfersUnderWay {
            planned: planned.into_iter().map(Some).collect(),
            since: now,
            ends,
        }
    }

    /// Whether the end of each was taken.
    pub fn are_over(&self) -> bool {
        self.planned.iter().all(Option::is_none)
    }

    /// Takes the ends received so far. The transfers of a thread that ended without one have
    /// failed.
    pub fn take_ends(&mut self, outcomes: &mut Vec<(PlannedMove, Result<()>)>) {
        loop {
            match self.ends.try_recv() {
                Ok((index, outcome)) => {
                    let planned = self.planned.get_mut(index).and_then(Option::take);
                    outcomes.extend(planned.map(|planned| (planned, outcome)));
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    let left = self.planned.iter_mut().filter_map(Option::take);
                    outcomes.extend(left.map(|planned| (planned, Err(panicked()))));
                    return;
                }
            }
        }
    }
}

/// Sends the ends of transfers to the controller's thread.
pub(crate) struct TransferEnds(pub Sender<(usize, Result<()>)>);

impl Witness for TransferEnds {
    fn ended(&mut self, index: usize, outcome: Result<()>) {
        // A controller that resigned no longer receives.
        let _ = self.0.send((index, outcome));
    }
}

/// The failure of work whose thread panicked.
pub(crate) fn panicked() -> Error {
    Error::new(Kind::Io, "a thread of the controller ended unexpectedly")
}
