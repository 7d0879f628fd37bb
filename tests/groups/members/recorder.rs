//! Writes the history of a group down while it happens.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::history::{Event, History, Process};
use super::view::{Commit, GroupDir, View};

/// How much later than asked a sleep ends at most on a machine that is not overloaded.
const PUNCTUAL: Duration = Duration::from_millis(1);

pub struct Recorder {
    group: GroupDir,
    started: Instant,
    /// How long the machine gave this process no turn.
    stalled: Duration,
    text: String,
    view: Option<Arc<View>>,
    /// Whose pid it is now: pids are used again.
    pids: HashMap<u32, Process>,
    processes: HashMap<String, Process>,
    log: Option<File>,
    /// What was read of a line that is not whole yet.
    rest: Vec<u8>,
    pub history: History,
}

impl Recorder {
    pub fn of(group: GroupDir) -> Self {
        Recorder {
            group,
            started: Instant::now(),
            stalled: Duration::ZERO,
            text: String::new(),
            view: None,
            pids: HashMap::new(),
            processes: HashMap::new(),
            log: None,
            rest: Vec::new(),
            history: History::default(),
        }
    }

    /// Time since the beginning, without that in which the machine was busy with others: builds and
    /// other tests may run beside this one.
    pub fn now(&self) -> Duration {
        self.started.elapsed() - self.stalled
    }

    pub fn stalled(&self) -> Duration {
        self.stalled
    }

    pub fn sleep(&mut self, time: Duration) {
        let begun = Instant::now();
        std::thread::sleep(time);
        self.stalled += begun.elapsed().saturating_sub(time + PUNCTUAL);
    }

    /// A process was started, and has that pid.
    pub fn started(&mut self, process: Process, pid: u32) {
        self.pids.insert(pid, process);
        self.push(Event::Started(process));
    }

    pub fn push(&mut self, event: Event) {
        let at = self.now();
        self.history.push(at, event);
    }

    /// Looks at the group, with processes for pids: what is found committed now was perhaps
    /// committed before.
    pub fn observe(&mut self) -> Option<Arc<View>> {
        let text = std::fs::read_to_string(self.group.path("group.json")).ok()?;
        if text != self.text || self.view.is_none() {
            let mut view = View::of(&text);
            for (id, member) in &mut view.members {
                let pids = &self.pids;
                let process = self.processes.entry(id.clone());
                member.pid = *process.or_insert_with(|| pids[&member.pid]);
            }
            self.view = Some(Arc::new(view));
            self.text = text;
        }
        self.read_log();
        let view = self.view.clone()?;
        self.push(Event::Seen(Arc::clone(&view)));
        Some(view)
    }

    /// Reads the log on; a rewritten one from its beginning.
    fn read_log(&mut self) {
        let path = self.group.path("offsets.log");
        loop {
            let Some(log) = &mut self.log else {
                let Ok(log) = File::open(&path) else { return };
                self.log = Some(log);
                continue;
            };
            let (named, open) = (path.metadata(), log.metadata());
            let is_current = named.expect("offsets.log").ino() == open.expect("a file").ino();
            log.read_to_end(&mut self.rest).expect("offsets.log");
            self.take_lines();
            if is_current {
                return;
            }
            self.log = None;
            self.rest.clear();
        }
    }

    /// Takes the lines that are whole. A line begins with its line feed: the last has none behind.
    fn take_lines(&mut self) {
        let bytes = std::mem::take(&mut self.rest);
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let is_whole = mq::group::Line::decode(line).is_some();
            if is_whole {
                let line = std::str::from_utf8(line).expect("text");
                if let Some(commit) = Commit::of(line) {
                    self.push(Event::Committed(commit));
                }
            } else if lines.peek().is_none() {
                self.rest = line.to_vec();
            }
        }
    }
}
