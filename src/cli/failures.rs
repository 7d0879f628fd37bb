//! What failed among several items.

use super::exit::weightier;
use super::{Env, Outcome};
use crate::error::{Error, Kind};

/// What failed among several items: each is told of, and the run goes on.
#[derive(Debug, Default)]
pub struct Failures {
    worst: Option<Kind>,
}

impl Failures {
    /// Tells of one.
    pub fn notify(&mut self, env: &Env, e: &Error) {
        env.complain(e);
        self.worst = Some(
            self.worst
                .map_or(e.kind(), |kind| weightier(kind, e.kind())),
        );
    }

    /// Tells of each.
    pub fn notify_all(&mut self, env: &Env, all: &[Error]) {
        for e in all {
            self.notify(env, e);
        }
    }

    /// Warns of damage that hides part of what was asked for.
    pub fn warn(&mut self, env: &Env, damage: &str) {
        env.warn(damage);
        let kind = Kind::Damaged;
        self.worst = Some(self.worst.map_or(kind, |worst| weightier(worst, kind)));
    }

    /// What the run comes to.
    pub fn outcome(&self) -> Outcome {
        self.worst.map_or(Outcome::Done, Outcome::Failed)
    }
}
