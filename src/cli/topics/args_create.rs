//! The command line of `mq-topics create`.

use super::args_plan::{CONFIG_EXAMPLE, PlanArgs, partition_count, topic_names};
use super::job::Create;
use crate::cli::common::usage;
use crate::cli::configs::config_pairs;
use crate::cli::output::OutputArgs;
use crate::client::topics::{TopicConfigs, check_assignment};
use crate::error::Result;
use crate::types::{BrokerId, TopicName};

/// Create topics
///
/// An existing topic counts as an error; the others are still created.
#[derive(Debug, clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(super) struct CreateArgs {
    /// The topics: 1 to 249 characters of A-Z a-z 0-9 . _ -
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Number of partitions [default: as --like, else 1]
    #[arg(short, long, value_name = "N", help_heading = "Topic")]
    partitions: Option<String>,
    /// Number of replicas of each partition, spread over the running brokers [default: as --like,
    /// else 1]
    #[arg(short, long, value_name = "N", help_heading = "Topic")]
    replication_factor: Option<String>,
    /// The brokers of each partition, the preferred leader first: 0:1,1:2 is two partitions
    #[arg(long, value_name = "BROKERS", help_heading = "Topic")]
    assign: Option<String>,
    /// Set a config (repeatable), such as segment.bytes=104857600
    #[arg(
        short,
        long = "config",
        value_name = "KEY=VALUE",
        help_heading = "Topic"
    )]
    configs: Vec<String>,
    /// Copy partitions, replicas and configs from this topic, where they are not given
    #[arg(long, value_name = "TOPIC", help_heading = "Topic")]
    like: Option<String>,
    /// Do not fail if a topic exists already
    #[arg(long, help_heading = "Topic")]
    if_not_exists: bool,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  mq-topics create orders
  mq-topics create orders payments -p 6
  mq-topics create logs -c flush.messages=never -c segment.ms=3600000
  mq-topics create orders -p 6 -r 3 -c min.insync.replicas=2
  mq-topics create orders --assign 0:1,1:2,2:0
  mq-topics create copy --like orders --if-not-exists";

/// The most replicas of a partition, as in Kafka (a 16-bit number).
const REPLICAS_MAX: usize = i16::MAX as usize;

/// Makes the job.
///
/// # Errors
/// [`crate::error::Kind::Usage`], [`crate::error::Kind::InvalidConfig`].
pub(super) fn create(args: CreateArgs) -> Result<Create> {
    let configs = config_pairs(&args.configs, TopicConfigs::check_name, CONFIG_EXAMPLE)?;
    let partitions = args.partitions.as_deref();
    let partitions = partitions.map(partition_count).transpose()?;
    let replication_factor = args.replication_factor.as_deref();
    let replication_factor = replication_factor.map(replica_count).transpose()?;
    let assignment = args.assign.as_deref().map(parse_assignment).transpose()?;
    if let Some(assignment) = &assignment {
        let replicas = assignment.first().map_or(0, Vec::len);
        for (option, said, there) in [
            ("-p", partitions.map(|n| n as usize), assignment.len()),
            ("-r", replication_factor, replicas),
        ] {
            if let Some(said) = said.filter(|said| *said != there) {
                return Err(usage(
                    format!(
                        "INVALID_REPLICA_ASSIGNMENT: {option} {said}, but --assign has {there}"
                    ),
                    format!("leave {option} out: --assign says it"),
                ));
            }
        }
    }
    if args.like.is_none() {
        let assigned = assignment.as_ref().and_then(|all| all.first());
        let replicas = assigned.map(Vec::len).or(replication_factor);
        TopicConfigs::from_explicit(configs.clone())?.check_replicas(replicas.unwrap_or(1))?;
    }
    Ok(Create {
        names: topic_names(&args.names)?,
        partitions,
        replication_factor,
        assignment,
        configs,
        like: args.like.map(TopicName::new).transpose()?,
        if_not_exists: args.if_not_exists,
        dry_run: args.plan.dry_run,
        output: args.output.try_into()?,
    })
}

fn replica_count(text: &str) -> Result<usize> {
    text.parse()
        .ok()
        .filter(|n| (1..=REPLICAS_MAX).contains(n))
        .ok_or_else(|| {
            usage(
                format!(
                    "INVALID_REPLICATION_FACTOR: '{}' is not a number of replicas",
                    text.escape_debug()
                ),
                format!("use 1 to {REPLICAS_MAX}"),
            )
        })
}

/// `0:1,1:2`: partitions by comma, brokers by colon (`kafka-topics.sh --replica-assignment`).
fn parse_assignment(text: &str) -> Result<Vec<Vec<BrokerId>>> {
    let broker = |text: &str| text.parse::<BrokerId>().ok().filter(|id| *id >= 0);
    let assignment: Option<Vec<Vec<BrokerId>>> = text
        .split(',')
        .map(|brokers| brokers.split(':').map(broker).collect())
        .collect();
    let assignment = assignment.ok_or_else(|| {
        usage(
            format!(
                "INVALID_REPLICA_ASSIGNMENT: '{}' names no brokers",
                text.escape_debug()
            ),
            "say the brokers of each partition: 0:1,1:2 is two partitions on brokers 0 and 1, \
             and 1 and 2",
        )
    })?;
    check_assignment(&assignment)?;
    Ok(assignment)
}
