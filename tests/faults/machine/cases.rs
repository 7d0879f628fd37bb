//! Cases by name, run by two workers.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::proc::{Failure, Place, Score};

const WORKERS: usize = 2;

pub type Body = Box<dyn FnOnce(&Place) -> Result<(), Failure> + Send>;

/// Cases, run in the order in which they were named.
#[derive(Default)]
pub struct Cases(VecDeque<(String, Body)>);

impl Cases {
    pub fn add(
        &mut self,
        name: impl Into<String>,
        body: impl FnOnce(&Place) -> Result<(), Failure> + Send + 'static,
    ) {
        self.0.push_back((name.into(), Box::new(body)));
    }

    pub fn run(self, score: &Score) {
        let cases = Mutex::new(self.0);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let next = cases.lock().expect("cases").pop_front();
                        let Some((name, body)) = next else { break };
                        score.case(&name, body);
                    }
                });
            }
        });
    }
}
