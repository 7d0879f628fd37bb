//! What goes wrong, at random: mostly one broker at a time, but without a rest between; now and then
//! several.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::cluster::{BROKERS, Broker, Producer, command, wait};
use super::journal::Journal;
use super::watch::Places;

/// How long a graceful stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// Numbers that look random, and are the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// A time between two; shorter ones are more likely.
    fn between(&mut self, least: u64, most: u64) -> Duration {
        let span = most - least + 1;
        let one = self.below(span);
        let other = self.below(span);
        Duration::from_millis(least + one.min(other))
    }
}

pub struct Nemesis<'a> {
    pub dice: Dice,
    pub places: &'a Places,
    pub journal: &'a Journal,
    pub brokers: &'a mut Vec<Broker>,
    pub producers: &'a [Producer],
    /// The log directories are file systems of their own, which can be full.
    pub fills: bool,
}

impl Nemesis<'_> {
    /// One fault, from its beginning to its end.
    pub fn strike(&mut self) -> Result<(), String> {
        let at = usize::try_from(self.dice.below(3)).expect("small");
        let id = BROKERS[at];
        let kinds = if self.fills { 19 } else { 16 };
        match self.dice.below(kinds) {
            0..=2 => {
                let rest = self.dice.between(0, 1500);
                self.say(&format!("kill {id} for {rest:?}"));
                self.brokers[at].kill();
                std::thread::sleep(rest);
                self.brokers[at].start(self.places, self.journal);
            }
            3..=5 => {
                let rest = self.dice.between(100, 4000);
                self.say(&format!("pause {id} for {rest:?}"));
                self.brokers[at].signal(Signal::STOP);
                std::thread::sleep(rest);
                self.brokers[at].signal(Signal::CONT);
            }
            6 | 7 => self.stop(at)?,
            8 | 9 => self.delete()?,
            10 => {
                let one = usize::try_from(self.dice.below(self.producers.len() as u64));
                let one = one.expect("small");
                let rest = self.dice.between(100, 4000);
                self.say(&format!("pause producer {one} for {rest:?}"));
                self.signal(None, one, Signal::STOP);
                std::thread::sleep(rest);
                self.signal(None, one, Signal::CONT);
            }
            11 => self.kill_two(at),
            12 => self.pause_two(at),
            13 => self.interrupt(at, Some((at + 1) % 3)),
            14 => self.interrupt(at, None),
            15 => self.kill_all(at),
            _ => self.fill(at)?,
        }
        if self.dice.below(3) > 0 {
            std::thread::sleep(self.dice.between(0, 600));
        }
        Ok(())
    }

    /// Kills all, and starts them again in another order: a producer at work waits for them.
    fn kill_all(&mut self, first: usize) {
        let mut all = [first, (first + 1) % 3, (first + 2) % 3];
        for at in all {
            self.say(&format!("kill {}, one of all", BROKERS[at]));
            self.brokers[at].kill();
            std::thread::sleep(self.dice.between(0, 60));
        }
        std::thread::sleep(self.dice.between(0, 1500));
        let turn = usize::try_from(self.dice.below(3)).expect("small");
        all.rotate_left(turn);
        for at in all {
            std::thread::sleep(self.dice.between(0, 500));
            self.say(&format!("start {}", BROKERS[at]));
            self.brokers[at].start(self.places, self.journal);
        }
    }

    /// Kills two, one soon after the other, and starts them again.
    fn kill_two(&mut self, at: usize) {
        let mut both = [at, (at + 1) % 3];
        for at in both {
            self.say(&format!("kill {}, one of two", BROKERS[at]));
            self.brokers[at].kill();
            std::thread::sleep(self.dice.between(0, 100));
        }
        if self.dice.below(2) == 0 {
            both.reverse();
        }
        for at in both {
            std::thread::sleep(self.dice.between(0, 800));
            self.say(&format!("start {}", BROKERS[at]));
            self.brokers[at].start(self.places, self.journal);
        }
    }

    /// Kills one, and pauses who may be at work on its succession: another broker, or a producer.
    fn interrupt(&mut self, at: usize, other: Option<usize>) {
        let wait = Duration::from_micros(self.dice.below(40_000));
        let (rest, pause) = (self.dice.between(0, 1000), self.dice.between(100, 3500));
        let one = usize::try_from(self.dice.below(self.producers.len() as u64)).expect("small");
        let victim = match other {
            Some(other) => format!("broker {}", BROKERS[other]),
            None => format!("producer {one}"),
        };
        self.say(&format!(
            "kill {} for {rest:?}, {wait:?} later pause {victim} for {pause:?}",
            BROKERS[at]
        ));
        self.brokers[at].kill();
        std::thread::sleep(wait);
        self.signal(other, one, Signal::STOP);
        std::thread::sleep(rest);
        self.brokers[at].start(self.places, self.journal);
        std::thread::sleep(pause.saturating_sub(rest));
        self.signal(other, one, Signal::CONT);
    }

    /// Signals a broker, or else a producer.
    fn signal(&self, broker: Option<usize>, producer: usize, signal: Signal) {
        match (broker, self.producers[producer].pid) {
            (Some(at), _) => self.brokers[at].signal(signal),
            (None, Some(pid)) if !self.producers[producer].has_ended() => {
                // One that has just ended is found out later.
                let _ = kill_process(pid, signal);
            }
            _ => {}
        }
    }

    /// Pauses two for times that overlap.
    fn pause_two(&mut self, at: usize) {
        let other = (at + 1) % 3;
        let (first, second) = (self.dice.between(100, 3000), self.dice.between(100, 3000));
        let (one, two) = (BROKERS[at], BROKERS[other]);
        self.say(&format!(
            "pause {one} and {two}, for {first:?} and {second:?}"
        ));
        self.brokers[at].signal(Signal::STOP);
        self.brokers[other].signal(Signal::STOP);
        std::thread::sleep(first.min(second));
        let (early, late) = if first < second {
            (at, other)
        } else {
            (other, at)
        };
        self.brokers[early].signal(Signal::CONT);
        std::thread::sleep(first.max(second) - first.min(second));
        self.brokers[late].signal(Signal::CONT);
    }

    fn say(&self, text: &str) {
        self.journal.say(&format!("NEMESIS {text}"));
    }

    fn stop(&mut self, at: usize) -> Result<(), String> {
        let id = BROKERS[at];
        let rest = self.dice.between(0, 500);
        self.say(&format!("stop {id} for {rest:?}"));
        let begun = Instant::now();
        loop {
            let mut stop = command("mq-broker", self.places)
                .args(["stop", &id.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|e| e.to_string())?;
            self.journal.listen("mq-broker stop", stop.stderr.take());
            let status = wait(&mut stop, STOP_TIMEOUT);
            if status == 0 {
                break;
            }
            // It may have been started just now, and not be running yet.
            if begun.elapsed() > STOP_TIMEOUT {
                return Err(format!("'mq-broker stop {id}' ended with {status}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut child = self.brokers[at].child.take();
        let status = child.as_mut().map(|child| wait(child, STOP_TIMEOUT));
        if status != Some(0) {
            return Err(format!(
                "broker {id} ended with {status:?} when it was stopped"
            ));
        }
        self.say(&format!("stopped {id}"));
        std::thread::sleep(rest);
        self.brokers[at].start(self.places, self.journal);
        Ok(())
    }

    /// Removes a replica's directory, where two others are in sync.
    fn delete(&mut self) -> Result<(), String> {
        let all = self.places.all();
        let start = self.dice.below(all.len().max(1) as u64 * 3);
        for n in 0..all.len() as u64 * 3 {
            let pick = usize::try_from(start + n).expect("small");
            let Some(led) = all.get(pick / 3 % all.len()) else {
                break;
            };
            let broker = BROKERS[pick % 3];
            if led.isr.iter().filter(|id| **id != broker).count() < 2 {
                continue;
            }
            let dir = self.places.replica(broker, &led.tp);
            let how = self.dice.below(2);
            let role = if led.leader == broker {
                "leader"
            } else {
                "follower"
            };
            self.say(&format!("delete {} ({role}), way {how}", dir.display()));
            let doomed = if how == 0 {
                dir.clone()
            } else {
                let aside = dir.with_extension("gone");
                if fs::rename(&dir, &aside).is_err() {
                    return Ok(());
                }
                aside
            };
            // It may be in its daemon's hands, too.
            let _ = fs::remove_dir_all(doomed);
            // The next may not be deleted before this is known.
            return self.until("a replacement of the replica", |places| {
                let uuid = |led: &super::history::Led| {
                    let found = led.replicas.iter().find(|(id, _)| *id == broker);
                    found.map(|(_, uuid)| uuid.clone())
                };
                let now = places.all();
                now.iter()
                    .any(|now| now.tp == led.tp && uuid(now) != uuid(led))
            });
        }
        Ok(())
    }

    /// Waits until something holds that the brokers must bring about.
    fn until(&self, what: &str, holds: impl Fn(&Places) -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !holds(self.places) {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(format!("never: {what}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.say(&format!("{what} after {:?}", begun.elapsed()));
        Ok(())
    }

    /// Fills a log directory's disk up, and makes room again.
    fn fill(&mut self, at: usize) -> Result<(), String> {
        let id = BROKERS[at];
        let rest = self.dice.between(200, 2500);
        self.say(&format!("fill {id} for {rest:?}"));
        let logs = &self.places.logs[at].1;
        let ballast: PathBuf = logs.parent().expect("a mount").join("ballast");
        let mut file = fs::File::create(&ballast).map_err(|e| e.to_string())?;
        for size in [1 << 16, 1 << 12] {
            let block = vec![7_u8; size];
            while file.write_all(&block).is_ok() {}
        }
        drop(file);
        std::thread::sleep(rest);
        fs::remove_file(&ballast).map_err(|e| e.to_string())?;
        self.say(&format!("room again on {id}"));
        Ok(())
    }
}
