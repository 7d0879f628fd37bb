//! The command lines of `mq-broker reassign`, `elect` and `health`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::job::{BrokerJob, Elect, ElectWhat, HealthJob, Reassign};
use super::reassign::meant;
use crate::cli::Rule;
use crate::cli::common::{broker_id, usage};
use crate::cli::consent::ConsentArgs;
use crate::cli::lang::{parse_duration, parse_size, parse_topic_partition, shown};
use crate::cli::output::OutputArgs;
use crate::cli::rules::How;
use crate::cli::topic_selection::TopicSelection;
use crate::error::Result;
use crate::types::BrokerId;

/// The default of `--timeout` for `--wait`.
const WAIT: Duration = Duration::from_secs(60);

/// Move partitions to other brokers, or list the moves under way
///
/// New replicas are created and copy the leader; once all are in sync, the controller removes the
/// old ones. Without partitions it lists the moves under way: from which brokers to which, and how
/// many records each new replica lacks.
#[derive(Debug, clap::Args)]
#[command(after_help = REASSIGN_EXAMPLES)]
pub(super) struct ReassignArgs {
    /// Partitions and their brokers, the preferred leader first: T:P=1,2,3, or T=1,2,3 for all of T
    #[arg(value_name = "T[:P][=BROKERS]")]
    partitions: Vec<String>,
    /// Most bytes a second that each new replica copies, such as 10MB (an average: batches are
    /// copied whole) [default: no limit]
    #[arg(
        long,
        value_name = "RATE",
        help_heading = "Reassignment",
        requires = "partitions"
    )]
    throttle: Option<String>,
    /// Cancel the reassignment of these partitions or topics, and keep the old replicas
    #[arg(long, help_heading = "Reassignment", requires = "partitions", conflicts_with_all = ["throttle", "wait"])]
    cancel: bool,
    /// Wait until the move is done; without partitions, until none is under way
    #[arg(long, help_heading = "Reassignment", conflicts_with = "dry_run")]
    wait: bool,
    /// How long to wait [default: 60s]
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = "Reassignment",
        requires = "wait"
    )]
    timeout: Option<String>,
    /// Print the plan, change nothing
    #[arg(long, help_heading = "Changes")]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const REASSIGN_EXAMPLES: &str = "\
Examples:
  mq-broker reassign orders:0=1,2,3
  mq-broker reassign orders=2,3 --throttle 10MB --wait --timeout 1h
  mq-broker reassign orders:0=4,5 orders:1=5,4 --dry-run
  mq-broker reassign                          the moves under way
  mq-broker reassign --format json | jq -c '[.topic, .partition, .lag]'
  mq-broker reassign 'app-*=1,2' --dry-run
  mq-broker reassign --cancel orders";

pub(super) const RULES: &[Rule] = &[
    Rule {
        command: "reassign",
        arg: "dry_run",
        how: How::Needs(&["partitions"]),
        what: "--dry-run has nothing to plan",
        cure: "name partitions and their brokers: T:P=1,2,3",
    },
    Rule {
        command: "init",
        arg: "format",
        how: How::Needs(&["dry_run"]),
        what: "--format is for the plan, and there is none",
        cure: "add --dry-run, or leave --format out",
    },
    Rule {
        command: "init",
        arg: "format",
        how: How::Needs(&["group"]),
        what: "--format is for the plan of --group",
        cure: "add --group, or leave --format out",
    },
];

impl ReassignArgs {
    /// Makes the job.
    pub(super) fn job(self) -> Result<BrokerJob> {
        let output = self.output.try_into()?;
        let wait = wait(self.wait, self.timeout.as_deref())?;
        let dry_run = self.dry_run;
        if self.cancel {
            if let Some(text) = self.partitions.iter().find(|text| text.contains('=')) {
                return Err(usage(
                    format!("'{}' names brokers, and --cancel needs none", shown(text)),
                    "name partitions or topics: they keep their old replicas",
                ));
            }
            return Ok(BrokerJob::Reassign(Reassign::Cancel {
                selection: TopicSelection::parse(&self.partitions)?,
                dry_run,
                output,
            }));
        }
        if self.partitions.is_empty() {
            return Ok(BrokerJob::Reassign(Reassign::List { wait, output }));
        }
        let wanted = self.partitions.iter().map(|text| wanted(text));
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        if !wanted.iter().any(|(what, _)| what.has_globs()) {
            meant(&wanted, || Ok(Vec::new()))?;
        }
        let throttle = self.throttle.as_deref().map(rate).transpose()?;
        Ok(BrokerJob::Reassign(Reassign::Begin {
            wanted,
            throttle,
            wait,
            dry_run,
            output,
        }))
    }
}

/// Elect other leaders for partitions
///
/// preferred makes the first replica of each partition its leader, where that replica runs and is
/// in sync; nothing is lost. unclean is for a partition whose leader cannot be used while no other
/// in-sync replica runs: it elects the running replica with the longest log. Records that this
/// replica lacks are lost for good.
#[derive(Debug, clap::Args)]
#[command(after_help = ELECT_EXAMPLES)]
pub(super) struct ElectArgs {
    /// What kind of election
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// Topics or partitions [default for preferred: all]; unclean needs partitions
    #[arg(value_name = "T[:P]")]
    partitions: Vec<String>,
    /// Elect this broker's replica (unclean) [default: the longest log]
    #[arg(
        long,
        value_name = "ID",
        help_heading = "Election",
        allow_hyphen_values = true
    )]
    to: Option<String>,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// The first replica, by a planned transfer
    Preferred,
    /// A replica that is not in sync: records may be lost
    Unclean,
}

const ELECT_EXAMPLES: &str = "\
Examples:
  mq-broker elect preferred
  mq-broker elect preferred orders payments:3 'app-*'
  mq-broker elect unclean orders:0 --dry-run
  mq-broker elect unclean orders:0 --yes
  mq-broker elect unclean orders:0 --to 3";

impl ElectArgs {
    /// Makes the job.
    pub(super) fn job(self, can_ask: bool) -> Result<BrokerJob> {
        let output = self.output.try_into()?;
        let what = match self.kind {
            Kind::Preferred => {
                if self.to.is_some() {
                    return Err(usage(
                        "--to is for unclean elections",
                        "'mq-broker reassign T:P=BROKERS' sets the preferred broker: the first",
                    ));
                }
                let consent = self.consent.settle(true, "an election")?;
                ElectWhat::Preferred {
                    selection: TopicSelection::parse(&self.partitions)?,
                    dry_run: consent.is_dry_run(),
                }
            }
            Kind::Unclean => {
                if self.partitions.is_empty() {
                    return Err(usage(
                        "an unclean election needs partitions",
                        "name them: 'mq-topics describe --offline' shows which need one",
                    ));
                }
                let all = self.partitions.iter();
                let all = all.map(|text| parse_topic_partition(text));
                let partitions = all.collect::<Result<Vec<_>>>()?;
                let mut seen = BTreeSet::new();
                if let Some(twice) = partitions.iter().find(|tp| !seen.insert(*tp)) {
                    return Err(usage(
                        format!("{twice} is named twice"),
                        "name each partition once",
                    ));
                }
                ElectWhat::Unclean {
                    partitions,
                    to: self.to.as_deref().map(broker_id).transpose()?,
                    consent: self.consent.settle(can_ask, "an unclean election")?,
                }
            }
        };
        Ok(BrokerJob::Elect(Elect { what, output }))
    }
}

/// Check the store and its brokers: a line for each problem, and then exit status 1
///
/// Problems are: no controller; a broker with replicas that does not run, hangs, or whose disk is
/// full or gone; a partition that is offline, is under-replicated, or has fewer in-sync replicas
/// than min.insync.replicas. A store with single replicas needs no daemon to be healthy.
#[derive(Debug, clap::Args)]
#[command(after_help = HEALTH_EXAMPLES)]
pub(super) struct HealthArgs {
    /// Wait until there is no problem
    #[arg(long, help_heading = "Health")]
    wait: bool,
    /// How long to wait [default: 60s]
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = "Health",
        requires = "wait"
    )]
    timeout: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

const HEALTH_EXAMPLES: &str = "\
Examples:
  mq-broker health
  mq-broker health --wait --timeout 5m && echo all in sync
  mq-broker health --quiet || mail -s 'mq needs a look' ops
  mq-broker health --format json | jq -r .reason | sort | uniq -c";

impl HealthArgs {
    /// Makes the job.
    pub(super) fn job(self) -> Result<BrokerJob> {
        Ok(BrokerJob::Health(HealthJob {
            wait: wait(self.wait, self.timeout.as_deref())?,
            output: self.output.try_into()?,
        }))
    }
}

fn wait(wait: bool, timeout: Option<&str>) -> Result<Option<Duration>> {
    let timeout = match timeout {
        Some(timeout) => parse_duration(timeout).map_err(|e| e.at("--timeout"))?,
        None => WAIT,
    };
    Ok(wait.then_some(timeout))
}

fn rate(text: &str) -> Result<u64> {
    match parse_size(text).map_err(|e| e.at("--throttle"))? {
        0 => Err(usage(
            "--throttle 0 copies nothing",
            "use bytes a second, such as 10MB, or leave it out",
        )),
        rate => Ok(rate),
    }
}

/// `T:P=1,2,3` or `T=1,2,3`.
fn wanted(text: &str) -> Result<(TopicSelection, Vec<BrokerId>)> {
    let Some((place, brokers)) = text.split_once('=') else {
        return Err(usage(
            format!("'{}' names no brokers", shown(text)),
            format!("write {}=1,2,3, the preferred leader first", shown(text)),
        ));
    };
    let brokers = brokers.split(',').map(broker_id);
    let brokers = brokers.collect::<Result<Vec<_>>>().map_err(|e| {
        let text = format!("INVALID_REPLICA_ASSIGNMENT: '{}': {e}", shown(text));
        usage(text, "name brokers with commas, such as T:P=1,2,3")
    })?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = brokers.iter().find(|id| !seen.insert(**id)) {
        return Err(usage(
            format!(
                "INVALID_REPLICA_ASSIGNMENT: '{}' has broker {twice} twice",
                shown(text)
            ),
            "name each broker once: one broker holds one replica",
        ));
    }
    Ok((TopicSelection::parse(&[place])?, brokers))
}
