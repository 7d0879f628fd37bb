//! The options of one `mq-broker` run, typed.

use std::time::Duration;

use crate::cli::consent::Consent;
use crate::cli::output::OutputOptions;
use crate::cli::topic_selection::TopicSelection;
use crate::client::brokers::BrokerOptions;
use crate::types::{BrokerId, TopicPartition};

/// One run of `mq-broker`.
#[derive(Debug)]
pub enum BrokerJob {
    /// `start`
    Start {
        /// The broker's id.
        id: BrokerId,
        /// The registration's options; a relative path is not resolved yet.
        options: BrokerOptions,
    },
    /// `init`: for a Unix group, or without one for the owner.
    Init(Init),
    /// `status`
    Status(OutputOptions),
    /// `list`
    List(OutputOptions),
    /// `drain`
    Drain {
        /// The broker.
        id: BrokerId,
        /// Whether the drain is undone.
        undo: bool,
        /// How long to wait until the broker leads nothing.
        timeout: Duration,
    },
    /// `stop`: the given broker, else the only one that runs.
    Stop {
        /// The broker.
        id: Option<BrokerId>,
        /// How long to wait for its end.
        timeout: Duration,
    },
    /// `locks`
    Locks(OutputOptions),
    /// `unregister`
    Unregister(BrokerId),
    /// `reassign`
    Reassign(Reassign),
    /// `elect`
    Elect(Elect),
    /// `health`
    Health(HealthJob),
}

/// `reassign`
#[derive(Debug)]
pub enum Reassign {
    /// Lists the reassignments under way.
    List {
        /// How long to wait for their end first.
        wait: Option<Duration>,
        /// How rows are printed.
        output: OutputOptions,
    },
    /// Begins reassignments.
    Begin {
        /// The new brokers of the partitions.
        wanted: Vec<(TopicSelection, Vec<BrokerId>)>,
        /// The most bytes a second.
        throttle: Option<u64>,
        /// How long to wait for the end.
        wait: Option<Duration>,
        /// Whether only the plan is printed.
        dry_run: bool,
        /// How rows are printed.
        output: OutputOptions,
    },
    /// Cancels reassignments.
    Cancel {
        /// The partitions.
        selection: TopicSelection,
        /// Whether only the plan is printed.
        dry_run: bool,
        /// How rows are printed.
        output: OutputOptions,
    },
}

/// `elect`
#[derive(Debug)]
pub struct Elect {
    /// The kind of election.
    pub what: ElectWhat,
    /// How the results are printed.
    pub output: OutputOptions,
}

/// The kind of election.
#[derive(Debug)]
pub enum ElectWhat {
    /// The preferred leaders.
    Preferred {
        /// The partitions; empty: all.
        selection: TopicSelection,
        /// Whether only the plan is printed.
        dry_run: bool,
    },
    /// A running replica, even if it is not in sync.
    Unclean {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// The broker whose replica is elected; `None`: the one with the longest log.
        to: Option<BrokerId>,
        /// Whether records may be lost.
        consent: Consent,
    },
}

/// `health`
#[derive(Debug)]
pub struct HealthJob {
    /// How long to wait until there is no problem.
    pub wait: Option<Duration>,
    /// How the problems are printed.
    pub output: OutputOptions,
}

/// `mq-broker init`.
#[derive(Debug)]
pub struct Init {
    /// The Unix group that the store is for.
    pub group: Option<String>,
    /// Whether the plan is only printed.
    pub is_dry_run: bool,
    /// How rows of the plan are printed.
    pub output: OutputOptions,
}
