//! Topics and partitions as arguments of the tools: `TOPIC`, `TOPIC:P`, and quoted globs of either.

use std::collections::HashMap;

use super::lang::{parse_topic_partition, shown, usage};
use super::pattern::NamePattern;
use crate::client::topics::TopicMeta;
use crate::error::{Error, Kind, Result};
use crate::types::{PartitionId, Scope, TopicName, TopicPartition};

/// One argument.
#[derive(Debug, Clone)]
struct TopicPattern {
    name: NamePattern,
    partition: Option<PartitionId>,
}

/// What the arguments select from the existing topics.
#[derive(Debug, Clone, Default)]
pub struct TopicSelection(Vec<TopicPattern>);

/// A selected topic, and which of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The topic; a topic that was named may not exist.
    pub topic: TopicName,
    /// In the order given, each once; `None`: all.
    pub partitions: Option<Vec<PartitionId>>,
}

impl Chosen {
    /// All partitions of a topic.
    pub fn all_of(topic: TopicName) -> Self {
        Chosen {
            topic,
            partitions: None,
        }
    }

    /// Whether a partition of the topic is selected.
    pub fn has(&self, partition: PartitionId) -> bool {
        let only = self.partitions.as_ref();
        only.is_none_or(|only| only.contains(&partition))
    }

    /// The selected partitions, in order.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`] for a partition that the topic does not have.
    pub fn partitions_of(&self, meta: &TopicMeta) -> Result<Vec<PartitionId>> {
        let Some(only) = &self.partitions else {
            return Ok(meta.partitions.iter().map(|p| p.partition).collect());
        };
        let mut only = only.clone();
        only.sort_unstable();
        for p in &only {
            meta.known_partition(*p)?;
        }
        Ok(only)
    }

    fn scopes(&self) -> Vec<Scope> {
        let scope = |partition| Scope {
            topic: self.topic.clone(),
            partition,
        };
        match &self.partitions {
            None => vec![scope(None)],
            Some(only) => only.iter().map(|p| scope(Some(*p))).collect(),
        }
    }
}

/// The selection in the library's form.
pub fn scopes(chosen: &[Chosen]) -> Vec<Scope> {
    chosen.iter().flat_map(Chosen::scopes).collect()
}

impl TopicSelection {
    /// Parses arguments that may name partitions.
    ///
    /// # Errors
    /// [`Kind::Usage`]; [`Kind::InvalidTopic`] for what cannot be a topic's name.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self> {
        let each = texts.iter().map(|text| TopicPattern::parse(text.as_ref()));
        each.collect::<Result<_>>().map(TopicSelection)
    }

    /// Parses arguments that name whole topics.
    ///
    /// # Errors
    /// As [`TopicSelection::parse`]; also [`Kind::Usage`] for a partition.
    pub fn parse_topics<S: AsRef<str>>(texts: &[S]) -> Result<Self> {
        let parsed = Self::parse(texts)?;
        match parsed.0.iter().find(|pattern| pattern.partition.is_some()) {
            None => Ok(parsed),
            Some(one) => Err(usage(
                format!("'{}' names a partition", shown(&one.text())),
                format!("this is for whole topics: {}", shown(one.name.text())),
            )),
        }
    }

    /// Whether there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the selection depends on which topics exist.
    pub fn has_globs(&self) -> bool {
        self.0.iter().any(|pattern| pattern.name.is_glob())
    }

    /// The names and globs, without partitions.
    pub fn patterns(&self) -> impl Iterator<Item = &NamePattern> {
        self.0.iter().map(|pattern| &pattern.name)
    }

    /// Whether any argument names a partition.
    pub fn has_partitions(&self) -> bool {
        self.0.iter().any(|pattern| pattern.partition.is_some())
    }

    /// The partitions of a topic that arguments name, by its name or a glob.
    pub fn named_of(&self, topic: &TopicName) -> impl Iterator<Item = PartitionId> {
        let of_it = self.0.iter();
        let of_it = of_it.filter(|pattern| pattern.name.matches(topic.as_str()));
        of_it.filter_map(|pattern| pattern.partition)
    }

    /// The selected topics, each once, and errors: a glob that matches nothing. A named topic is
    /// selected whether it exists or not. `there` is called only if there is a glob.
    ///
    /// # Errors
    /// The errors of `there`.
    pub fn resolve(
        &self,
        there: impl FnOnce() -> Result<Vec<TopicName>>,
    ) -> Result<(Vec<Chosen>, Vec<Error>)> {
        let there = if self.has_globs() {
            there()?
        } else {
            Vec::new()
        };
        let mut chosen = Choice::default();
        let mut wrong = Vec::new();
        for pattern in &self.0 {
            if !pattern.name.is_glob() {
                let topic = TopicName::new(pattern.name.text())?;
                chosen.add(topic, pattern.partition);
                continue;
            }
            let mut any = false;
            for topic in there.iter().filter(|t| pattern.name.matches(t.as_str())) {
                chosen.add(topic.clone(), pattern.partition);
                any = true;
            }
            if !any {
                wrong.push(no_match(pattern.name.text()));
            }
        }
        Ok((chosen.all, wrong))
    }

    /// As [`TopicSelection::resolve`]; all topics if there are no arguments.
    ///
    /// # Errors
    /// The errors of `there`.
    pub fn resolve_or_all(
        &self,
        there: impl FnOnce() -> Result<Vec<TopicName>>,
    ) -> Result<(Vec<Chosen>, Vec<Error>)> {
        if !self.is_empty() {
            return self.resolve(there);
        }
        let all = there()?.into_iter().map(Chosen::all_of).collect();
        Ok((all, Vec::new()))
    }

    /// Whether a topic is named or matched; true if there are no arguments.
    pub fn has(&self, topic: &TopicName) -> bool {
        let matches = |pattern: &TopicPattern| pattern.name.matches(topic.as_str());
        self.is_empty() || self.0.iter().any(matches)
    }

    /// Whether a partition is named or matched; true if there are no arguments.
    pub fn has_partition(&self, tp: &TopicPartition) -> bool {
        let matches = |pattern: &TopicPattern| {
            let only = pattern.partition;
            pattern.name.matches(tp.topic.as_str()) && only.is_none_or(|only| only == tp.partition)
        };
        self.is_empty() || self.0.iter().any(matches)
    }

    /// The globs that match none of these topics.
    pub fn unmatched<'a>(&'a self, there: &[TopicName]) -> Vec<&'a str> {
        self.missing(there, NamePattern::is_glob)
    }

    /// The names that no topic has.
    pub fn unknown<'a>(&'a self, there: &[TopicName]) -> Vec<&'a str> {
        self.missing(there, NamePattern::is_name)
    }

    fn missing<'a>(
        &'a self,
        there: &[TopicName],
        is_asked: fn(&NamePattern) -> bool,
    ) -> Vec<&'a str> {
        let is_missing =
            |pattern: &&NamePattern| !there.iter().any(|topic| pattern.matches(topic.as_str()));
        let asked = self.patterns().filter(|pattern| is_asked(pattern));
        asked.filter(is_missing).map(NamePattern::text).collect()
    }

    /// As [`TopicSelection::resolve`], where any error prevents the whole command.
    ///
    /// # Errors
    /// The errors of `there`; [`Kind::UnknownTopic`] for a glob that matches nothing.
    pub fn resolve_all(
        &self,
        there: impl FnOnce() -> Result<Vec<TopicName>>,
    ) -> Result<Vec<Chosen>> {
        let (chosen, wrong) = self.resolve(there)?;
        wrong.into_iter().next().map_or(Ok(chosen), Err)
    }
}

impl std::fmt::Display for TopicSelection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", shown(&pattern.text()))?;
        }
        Ok(())
    }
}

/// The error for a glob that matches no topic.
pub fn no_match(glob: &str) -> Error {
    let text = format!(
        "UNKNOWN_TOPIC_OR_PARTITION: no topic matches '{}'",
        shown(glob)
    );
    Error::new(Kind::UnknownTopic, text).cure("'mq-topics list' shows the topics")
}

/// What was selected so far. A glob may match thousands of topics, so entries are found by name.
#[derive(Default)]
struct Choice {
    all: Vec<Chosen>,
    places: HashMap<TopicName, usize>,
}

impl Choice {
    fn add(&mut self, topic: TopicName, partition: Option<PartitionId>) {
        let place = *self.places.entry(topic.clone()).or_insert(self.all.len());
        let Some(same) = self.all.get_mut(place) else {
            let partitions = partition.map(|p| vec![p]);
            self.all.push(Chosen { topic, partitions });
            return;
        };
        match (&mut same.partitions, partition) {
            (only, None) => *only = None,
            (Some(only), Some(p)) if !only.contains(&p) => only.push(p),
            (_, Some(_)) => {}
        }
    }
}

impl TopicPattern {
    fn parse(text: &str) -> Result<Self> {
        // A glob can contain a colon only there: topic names have none.
        let (name, partition) = match text.rsplit_once(':') {
            None => (text, None),
            Some((name, number)) => {
                // The number is checked as if the topic existed.
                let tp = match number {
                    "" => parse_topic_partition(text),
                    number => parse_topic_partition(&format!("t:{number}")),
                };
                // If the name is neither valid nor a glob, that error comes before a wrong number.
                let worse = |e: Error| match NamePattern::parse(name) {
                    Ok(name) if name.is_glob() => e,
                    _ => parse_topic_partition(text).err().unwrap_or(e),
                };
                (name, Some(tp.map_err(worse)?.partition))
            }
        };
        let name = NamePattern::parse(name)?;
        if !name.is_glob() {
            TopicName::new(name.text())?;
        }
        Ok(TopicPattern { name, partition })
    }

    fn text(&self) -> String {
        match self.partition {
            None => self.name.text().to_owned(),
            Some(p) => format!("{}:{p}", self.name.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there() -> Result<Vec<TopicName>> {
        let names = ["app-a", "app-b", "orders"];
        names.iter().map(|name| TopicName::new(*name)).collect()
    }

    fn text(chosen: &[Chosen]) -> String {
        let all: Vec<_> = scopes(chosen).iter().map(Scope::to_string).collect();
        all.join(" ")
    }

    #[test]
    fn names_partitions_and_globs() {
        for (args, meant) in [
            (&["orders"][..], "orders"),
            (&["orders:3", "orders:1", "orders:3"], "orders:3 orders:1"),
            (&["orders:3", "app-*:0", "orders"], "orders app-a:0 app-b:0"),
            (&["app-b", "*"], "app-b app-a orders"),
            (&["nothere", "{app-a,orders}:1"], "nothere app-a:1 orders:1"),
        ] {
            let selection = TopicSelection::parse(args).expect("parsed");
            let chosen = selection.resolve_all(there).expect("resolved");
            assert_eq!(text(&chosen), meant, "{args:?}");
        }
        let mixed = TopicSelection::parse(&["x*", "orders"]).expect("parsed");
        let (chosen, wrong) = mixed.resolve(there).expect("resolved");
        assert_eq!((text(&chosen).as_str(), wrong.len()), ("orders", 1));
        let e = mixed.resolve_all(there).expect_err("nothing matches x*");
        assert_eq!(e.kind(), Kind::UnknownTopic);
        assert!(e.to_string().contains("no topic matches 'x*'"), "{e}");
        // A list of topics is needed only for globs.
        let never = || Err(Error::new(Kind::Io, "asked"));
        let named = TopicSelection::parse(&["a", "b:1"]).expect("parsed");
        assert_eq!(text(&named.resolve_all(never).expect("resolved")), "a b:1");
        assert_eq!(named.to_string(), "a, b:1");
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "a:", "a:x", "a:-1", "a b", "a*:x", "a[", "a:1:2"] {
            TopicSelection::parse(&[text]).expect_err(text);
        }
        for text in ["a*:", "a:"] {
            let e = TopicSelection::parse(&[text]).expect_err(text).to_string();
            assert!(e.ends_with(":' has no partition behind its colon"), "{e}");
        }
        let e = TopicSelection::parse(&["a*:x"]).expect_err("no number");
        assert!(e.to_string().contains("'x' is not a partition"), "{e}");
        TopicSelection::parse_topics(&["a*"]).expect("a glob");
        let e = TopicSelection::parse_topics(&["a*:1"]).expect_err("a partition");
        assert_eq!(e.kind(), Kind::Usage);
    }
}
