//! Progress on stderr, for a user who waits.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar, or nothing.
#[derive(Debug)]
pub struct ProgressDisplay {
    bar: Option<ProgressBar>,
}

impl ProgressDisplay {
    /// Shows nothing.
    pub fn off() -> Self {
        ProgressDisplay { bar: None }
    }

    /// A bar up to so many bytes, or a spinner.
    pub fn on(bytes: Option<u64>) -> Self {
        let bar = match bytes {
            Some(bytes) => {
                let template = "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {msg}";
                ProgressBar::new(bytes).with_style(style(template))
            }
            None => ProgressBar::new_spinner().with_style(style("{spinner} {bytes} {msg}")),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        ProgressDisplay { bar: Some(bar) }
    }

    /// A spinner with a text.
    pub fn text() -> Self {
        let bar = ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        ProgressDisplay { bar: Some(bar) }
    }

    /// Whether anything is shown.
    pub fn is_on(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows a text.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Adds to the bytes, and sets the records so far.
    pub fn advance(&self, bytes: u64, records: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            bar.set_message(match records {
                1 => "1 record".to_owned(),
                more => format!("{more} records"),
            });
        }
    }

    /// Sets the bytes so far, all bytes, and a text.
    pub fn set(&self, done: u64, all: u64, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
            bar.set_message(text.to_owned());
        }
    }

    /// Runs `f` with the bar hidden.
    pub fn suspend(&self, f: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }

    /// Removes the bar.
    pub fn done(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
