//! The end of a run: it waits for all acknowledgements, and reports the result.

use super::failed::Failed;
use super::job::Source;
use super::run::Run;
use super::topics::OpenTopic;
use crate::cli::Outcome;
use crate::cli::exit::weightier;
use crate::error::{Error, Kind, Result, shell_word};

impl Run<'_> {
    /// Waits until everything that was sent to a topic is acknowledged, and closes it.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] if delivery failed, which is reported at the end; else the echo's.
    pub(super) fn close(&mut self, open: OpenTopic) -> Result<()> {
        let OpenTopic {
            name,
            producer,
            lines,
            opening,
            ..
        } = open;
        let sent = producer.sent();
        let mut echoed = Ok(());
        let closed = producer.close(|receipts| {
            self.waits.notify(self.env);
            let outcome = self.echoes.acknowledged(opening, receipts);
            if echoed.is_ok() {
                echoed = outcome;
            }
        });
        match closed {
            Ok(acknowledged) => {
                self.acknowledged += acknowledged;
                echoed
            }
            Err(failure) => {
                self.acknowledged += failure.acknowledged;
                self.failures.push(Failed {
                    error: failure.error,
                    first: lines.of(failure.first_unacknowledged.unwrap_or(sent)),
                    topic: self.of_topic(&name),
                });
                Err(Error::new(Kind::Interrupted, "the producer has failed"))
            }
        }
    }

    /// Creates the topic of a run without any record for it.
    fn make_untouched(&mut self, fed: &Result<()>) -> Result<()> {
        let Some(name) = self.job.topic.clone() else {
            return Ok(());
        };
        let is_done = fed.is_ok() && !self.env.stopping() && self.skipped.is_none();
        if is_done && self.topics.get().is_none() {
            self.make(&name)?;
        }
        Ok(())
    }

    /// Waits for everything that was sent, and reports the result.
    pub(super) fn finish(mut self, fed: Result<()>) -> Result<Outcome> {
        let made = self.make_untouched(&fed);
        // A failure is reported for its own topic, when that is closed.
        let _ = self.topics.hand_on();
        let mut echoed = Ok(());
        while let Some(open) = self.topics.take() {
            match self.close(open) {
                Err(e) if e.kind() != Kind::Interrupted && echoed.is_ok() => echoed = Err(e),
                _ => {}
            }
        }
        self.env.progress_done();
        self.notify_lost_reader();
        // Dropped records belong to a failure (the exit status is not 0), so --quiet does not
        // silence them.
        if let Some((count, first)) = &self.skipped {
            let what = match count {
                1 => "1 record was".to_owned(),
                more => format!("{more} records were"),
            };
            self.env.say(&format!("{what} skipped; the first: {first}"));
        }
        if let Some(e) = self.failure() {
            return Err(e);
        }
        let count = acknowledged(self.acknowledged);
        let stopped = format!("stopped at {} ({count})", self.place(self.here()));
        match (fed.and(made), echoed) {
            (Err(e), _) if e.kind() != Kind::Interrupted => {
                return Err(self.with_way_on(e).at(stopped));
            }
            (Ok(()), Err(e)) if !self.env.stopping() => {
                return Err(e.at(format!(
                    "the echo is not complete ({count}, all that were read)"
                )));
            }
            (_, Err(e)) => return Err(e.at(stopped)),
            _ => {}
        }
        if self.env.stopping() {
            let reported = format!("stopped: {}", acknowledged(self.acknowledged));
            self.env.say(&reported);
        }
        if self.skipped.is_some() {
            return Ok(Outcome::Partial);
        }
        Ok(Outcome::Done)
    }

    /// Adds how to continue after the stored records, if they are all of the input before a line.
    fn with_way_on(&self, e: Error) -> Error {
        let is_record = matches!(
            e.kind(),
            Kind::InvalidRecord | Kind::MessageTooLarge | Kind::UnknownTopic
        );
        let line = self.line;
        let ([source], true, true) = (
            &*self.job.sources,
            self.job.input.format.begins_at_lines(),
            is_record && self.acknowledged > 0,
        ) else {
            return e;
        };
        let (from, verb) = match source {
            Source::Stdin => (String::new(), "send it again"),
            Source::File(path) => (format!(" {}", shell_word(&path.to_string_lossy())), "go on"),
        };
        let first = match e.cure_text() {
            Some(cure) => cure.to_owned(),
            None => format!("correct line {line}"),
        };
        e.cure(format!(
            "{first}. Then {verb} from line {line} on: tail -n +{line}{from} | mq-produce ..."
        ))
    }

    /// The most serious failure, with the first record that is not acknowledged; with several
    /// topics, later records may be acknowledged.
    fn failure(&mut self) -> Option<Error> {
        self.failures.sort_by_key(|failed| failed.first);
        let first = self.failures.first()?;
        let place = first.first.unwrap_or_else(|| self.here());
        let count = acknowledged(self.acknowledged);
        let at = match self.acknowledged {
            0 => format!("{count}{}", first.topic),
            _ => format!(
                "{count}; the first one that is not is {}{}",
                self.place(place),
                first.topic
            ),
        };
        let kinds = self.failures.iter().map(|failed| failed.error.kind());
        let worst = kinds.reduce(weightier)?;
        let reported = self
            .failures
            .iter()
            .position(|failed| failed.error.kind() == worst)?;
        let mut error = self.failures.swap_remove(reported).error;
        if let Some(reported) = self.waits.instead_of(&error, self.job.delivery.timeout) {
            error = reported;
        }
        if error.kind() == Kind::Busy && self.acknowledged > 0 {
            // Only a run that stored nothing may be repeated without checking.
            error = error.with_kind(Kind::Io);
        }
        Some(error.at(at))
    }
}

fn acknowledged(records: u64) -> String {
    match records {
        0 => "no record is acknowledged".to_owned(),
        1 => "1 record is acknowledged".to_owned(),
        more => format!("{more} records are acknowledged"),
    }
}
