//! Leaderships: no acknowledged record goes with a planned or a forced change of leader.
