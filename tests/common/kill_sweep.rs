//! Kills a command at each of its calls, in many scenarios, several at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use super::proc::{Failure, Place, Score};
use super::sweep::thinned;
use super::switches::is_long;

const WORKERS: usize = 2;

/// A scenario's name, and its weight: a short run makes a sixth as many kills, one with
/// `MQ_LONG=1` ten times as many.
pub struct Share {
    pub name: &'static str,
    pub weight: usize,
}

impl Share {
    fn kills(&self) -> usize {
        if is_long() {
            self.weight * 10
        } else {
            self.weight.div_ceil(6)
        }
    }
}

/// How often each call occurs.
pub type Calls = BTreeMap<&'static str, usize>;

/// `count` makes an undisturbed run of a scenario, and leaves the store that it began with as
/// `template`; `kill` makes a run that is killed at the Nth of a call.
pub fn over_all(
    test: &str,
    shares: &[Share],
    count: impl Fn(usize, &Place) -> Result<Calls, Failure>,
    kill: impl Fn(usize, &Path, (&str, usize), &Place) -> Result<(), Failure> + Sync,
) {
    let score = Score::default();
    let mut jobs = Vec::new();
    let mut counted = Vec::new();
    for (at, share) in shares.iter().enumerate() {
        let place = Place::new(test);
        let calls = match count(at, &place) {
            Ok(calls) => calls,
            Err(failure) => {
                let kept = place.dir().display();
                score.case(share.name, |_| {
                    Err(format!("counting: {failure} in {kept}"))
                });
                continue;
            }
        };
        let chosen = thinned(&calls, share.kills());
        println!(
            "{}: {} kills of {} calls {calls:?}",
            share.name,
            chosen.len(),
            calls.values().sum::<usize>()
        );
        let from = counted.len();
        jobs.extend(chosen.into_iter().map(|call| (at, from, call)));
        counted.push(place);
    }
    jobs.reverse();
    let jobs = Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((at, from, (call, n))) = jobs.lock().expect("jobs").pop() else {
                        break;
                    };
                    let template = counted[from].dir().join("template");
                    let what = format!("{}, killed at {call} {n}", shares[at].name);
                    score.case(&what, |place| kill(at, &template, (call, n), place));
                }
            });
        }
    });
    for place in counted {
        place.remove();
    }
    score.close(test);
}
