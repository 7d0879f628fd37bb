//! Progress on stderr, for a person who waits.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or nothing.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing is shown.
    pub fn off() -> Self {
        Progress { bar: None }
    }

    /// A bar over so many bytes, or a spinner.
    pub fn on(bytes: Option<u64>) -> Self {
        let bar = match bytes {
            Some(bytes) => {
                let template = "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {msg}";
                ProgressBar::new(bytes).with_style(style(template))
            }
            None => ProgressBar::new_spinner().with_style(style("{spinner} {bytes} {msg}")),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar: Some(bar) }
    }

    /// A spinner with a text.
    pub fn text() -> Self {
        let bar = ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar: Some(bar) }
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

    /// So many bytes more, and so many records in all.
    pub fn advance(&self, bytes: u64, records: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            bar.set_message(match records {
                1 => "1 record".to_owned(),
                more => format!("{more} records"),
            });
        }
    }

    /// Runs `f` with the bar out of the way.
    pub fn suspend(&self, f: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }

    /// Takes the bar away.
    pub fn done(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
