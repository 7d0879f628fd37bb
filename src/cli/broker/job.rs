//! What `mq-broker` was asked to do, typed.

use std::time::Duration;

use crate::cli::consent::Consent;
use crate::cli::output::OutputOptions;
use crate::cli::selection::Selection;
use crate::client::brokers::BrokerOptions;
use crate::types::{BrokerId, TopicPartition};

/// One run of `mq-broker`.
#[derive(Debug)]
pub enum Job {
    /// `start`
    Start {
        /// Which broker.
        id: BrokerId,
        /// What is registered of it; a relative path is still one.
        options: BrokerOptions,
    },
    /// `init`: for that Unix group, else for its owner.
    Init(Init),
    /// `status`
    Status(OutputOptions),
    /// `list`
    List(OutputOptions),
    /// `drain`
    Drain {
        /// Which.
        id: BrokerId,
        /// Take it back.
        undo: bool,
        /// How long to wait until it leads nothing.
        timeout: Duration,
    },
    /// `stop`: that broker, else the only one that runs.
    Stop {
        /// Which.
        id: Option<BrokerId>,
        /// How long its end is waited for.
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
    /// Lists what is under way.
    List {
        /// How long its end is waited for first.
        wait: Option<Duration>,
        /// How it is printed.
        output: OutputOptions,
    },
    /// Begins.
    Begin {
        /// Who is to hold what.
        wanted: Vec<(Selection, Vec<BrokerId>)>,
        /// Most bytes a second.
        throttle: Option<u64>,
        /// How long its end is waited for.
        wait: Option<Duration>,
        /// Only print the plan.
        dry_run: bool,
        /// How it is printed.
        output: OutputOptions,
    },
    /// Takes back.
    Cancel {
        /// What.
        selection: Selection,
        /// Only print the plan.
        dry_run: bool,
        /// How it is printed.
        output: OutputOptions,
    },
}

/// `elect`
#[derive(Debug)]
pub struct Elect {
    /// Whom.
    pub what: ElectWhat,
    /// How the results are printed.
    pub output: OutputOptions,
}

/// Whom to elect.
#[derive(Debug)]
pub enum ElectWhat {
    /// Preferred leaders.
    Preferred {
        /// Of these; nothing named: of all partitions.
        selection: Selection,
        /// Only print the plan.
        dry_run: bool,
    },
    /// Any that is there, though not in sync.
    Unclean {
        /// Of these.
        partitions: Vec<TopicPartition>,
        /// This broker.
        to: Option<BrokerId>,
        /// Whether records may be lost.
        consent: Consent,
    },
}

/// `health`
#[derive(Debug)]
pub struct HealthJob {
    /// How long to wait until all is as it should be.
    pub wait: Option<Duration>,
    /// How the reasons are printed.
    pub output: OutputOptions,
}

/// `mq-broker init`.
#[derive(Debug)]
pub struct Init {
    /// The Unix group that the store is to be of.
    pub group: Option<String>,
    /// Whether the plan is only printed.
    pub is_dry_run: bool,
    /// How rows of the plan are printed.
    pub output: OutputOptions,
}
