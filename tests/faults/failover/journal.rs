//! What happens, line by line with its time: it shows why a run failed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

#[derive(Clone)]
pub struct Journal {
    file: Arc<Mutex<File>>,
    begun: Instant,
}

impl Journal {
    pub fn new(path: &Path) -> Journal {
        let file = File::create(path).expect("a journal");
        Journal {
            file: Arc::new(Mutex::new(file)),
            begun: Instant::now(),
        }
    }

    pub fn say(&self, text: &str) {
        let mut file = self.file.lock().expect("unpoisoned");
        // Only for people: without it the test is as good.
        let _ = writeln!(file, "{:9.3} {text}", self.begun.elapsed().as_secs_f64());
    }

    /// Notes all that a process says.
    pub fn listen(&self, name: &str, pipe: Option<impl Read + Send + 'static>) {
        let (journal, name) = (self.clone(), name.to_owned());
        if let Some(pipe) = pipe {
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n') {
                    let Ok(line) = line else { return };
                    journal.say(&format!("{name}: {}", String::from_utf8_lossy(&line)));
                }
            });
        }
    }
}
