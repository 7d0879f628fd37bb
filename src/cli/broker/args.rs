//! The command line of `mq-broker`.

use std::path::PathBuf;
use std::time::Duration;

use super::args_cluster::{ElectArgs, HealthArgs, ReassignArgs};
use super::job::{BrokerJob, Init};
use crate::cli::common::{Common, broker_id, usage};
use crate::cli::lang::parse_duration;
use crate::cli::output::OutputArgs;
use crate::cli::tool::Tool;
use crate::cli::{Env, Outcome, Rule};
use crate::client::brokers::BrokerOptions;
use crate::error::Result;
use crate::types::EMBEDDED_BROKER;

/// Run a broker, and inspect brokers and locks
///
/// No broker has to run: the other tools work on the store by themselves. A running
/// broker manages one directory of replicas; one running broker is the controller.
#[derive(Debug, clap::Parser)]
#[command(name = "mq-broker", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  mq-broker start                    in the foreground
  mq-broker init --group data        a store that a Unix group shares
  mq-broker status --format json
  mq-broker start --id 1 --log-dir /mnt/disk2/mq
  mq-broker list
  mq-broker health --wait            until all replicas are in sync
  mq-broker reassign orders:0=2,3    move a partition's replicas
  mq-broker locks                    who holds which lock
  mq-broker stop 1";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Start(StartArgs),
    Init(InitArgs),
    Status(StatusArgs),
    List(ListArgs),
    Stop(StopArgs),
    Drain(DrainArgs),
    Health(HealthArgs),
    Elect(ElectArgs),
    Reassign(ReassignArgs),
    Locks(LocksArgs),
    Unregister(UnregisterArgs),
}

/// Run a broker in the foreground
///
/// Prints one line on standard output when it is ready. INT, TERM and HUP end it with 0.
#[derive(Debug, clap::Args)]
#[command(after_help = START_EXAMPLES)]
struct StartArgs {
    /// The broker's id, from 0; a new id registers a new broker
    #[arg(long, value_name = "N", help_heading = "Broker", default_value_t = EMBEDDED_BROKER.to_string())]
    id: String,
    /// Keep this broker's replicas in this directory, which may be on another disk. It is
    /// registered: later starts need not name it
    #[arg(long, value_name = "DIR", help_heading = "Broker")]
    log_dir: Option<PathBuf>,
    /// The broker's rack, for the placement of replicas. It is registered, too; '' removes it
    #[arg(long, value_name = "RACK", help_heading = "Broker")]
    rack: Option<String>,
}

const START_EXAMPLES: &str = "\
Examples:
  mq-broker start
  mq-broker start --log-dir /mnt/disk2/mq --rack cellar
  mq-broker start --id 1 --log-dir /mnt/disk3/mq --rack attic
  mq-broker start --store /srv/mq
  mq-broker start | { read -r ready; echo \"$ready\"; cat; } &
  mq-broker start --quiet 2>>broker.log &";

/// Create a store, or share one with a Unix group
///
/// A store need not be created in advance: the first record creates one that only its owner can
/// use. With --group, all members of that group can use it: all files in it, whichever member
/// creates them and whatever the umask, belong to the group (directories 2770, files 0660). An
/// existing store is given to the group by its owner or root; files in it that other users own are
/// listed, and stay as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = INIT_EXAMPLES)]
struct InitArgs {
    /// The Unix group, by name or number
    #[arg(long, value_name = "NAME", help_heading = "Store")]
    group: Option<String>,
    /// Print the plan, change nothing
    #[arg(long, help_heading = "Store")]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const INIT_EXAMPLES: &str = "\
Examples:
  mq-broker init
  mq-broker init --group data --store /srv/mq
  mq-broker init --group data --dry-run --format tsv | cut -f 1
  sudo mq-broker init --group data --store /srv/mq   # also repairs what mq-broker health names
  id -nG                                             # a new member has to log in again";

/// Show registered brokers, and which of them run; exit status 1 if none does
///
/// For each broker: since when it runs, the controller's epoch, and its strays (replica directories
/// that no topic names). 'mq-broker list' shows how many partitions each leads and keeps instead.
#[derive(Debug, clap::Args)]
#[command(after_help = STATUS_EXAMPLES)]
struct StatusArgs {
    #[command(flatten)]
    output: OutputArgs,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  mq-broker status
  mq-broker status --store /srv/mq
  mq-broker status --format tsv --header
  mq-broker status --format json | jq .";

/// List brokers: state, directory, leaderships and replicas
///
/// The state is running, drained (running, but leads nothing) or stopped. Broker 0 needs no daemon:
/// while it is stopped, the tools write its partitions themselves. Exit status 0, whether a broker
/// runs or not. 'mq-broker status' checks that, and shows since when each broker runs, and strays.
/// A broker whose process hangs counts as running here; 'mq-broker health' finds it, in up to two
/// seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

const LIST_EXAMPLES: &str = "\
Examples:
  mq-broker list
  mq-broker list --store /srv/mq
  mq-broker list --format tsv --header
  mq-broker list --format json | jq -r 'select(.state == \"running\").broker'";

/// Move all leaders off a running broker, until it is restarted
///
/// The controller moves the broker's leaderships to other in-sync replicas. Partitions without
/// another in-sync replica stay, and are listed. The broker goes on as a follower.
#[derive(Debug, clap::Args)]
#[command(after_help = DRAIN_EXAMPLES)]
struct DrainArgs {
    /// The broker
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: String,
    /// Let the broker lead again
    #[arg(long, help_heading = "Broker")]
    undo: bool,
    /// How long to wait until it leads nothing
    #[arg(
        long,
        conflicts_with = "undo",
        value_name = "DURATION",
        default_value = "30s",
        help_heading = "Broker"
    )]
    timeout: String,
}

const DRAIN_EXAMPLES: &str = "\
Examples:
  mq-broker drain 1
  mq-broker drain 1 --timeout 2m && mq-broker stop 1
  mq-broker drain 1 --undo
  mq-broker drain 1 --store /srv/mq";

/// Stop a running broker, and wait until it has ended
///
/// The broker first hands its leaderships to replicas that are in sync. If one of them makes no
/// progress for 30 s, the broker stops anyway: its directory stays the leader, and nothing is lost.
#[derive(Debug, clap::Args)]
#[command(after_help = STOP_EXAMPLES)]
struct StopArgs {
    /// The broker [default: the only one that runs]
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: Option<String>,
    /// How long to wait without progress
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "40s",
        help_heading = "Broker"
    )]
    timeout: String,
}

const STOP_EXAMPLES: &str = "\
Examples:
  mq-broker stop
  mq-broker stop 1
  mq-broker stop --timeout 1m
  mq-broker stop --store /srv/mq
  mq-broker stop && mq-broker start";

/// Show which processes hold which locks of the store
#[derive(Debug, clap::Args)]
#[command(after_help = LOCKS_EXAMPLES)]
struct LocksArgs {
    #[command(flatten)]
    output: OutputArgs,
}

const LOCKS_EXAMPLES: &str = "\
Examples:
  mq-broker locks
  mq-broker locks --store /srv/mq
  mq-broker locks --format tsv --header
  mq-broker locks --format json | jq -r '.pids[]'";

/// Remove a stopped broker without replicas from the store
///
/// For a broker that was registered by a mistyped id, or that will not come back. Its log directory
/// is kept if it is outside the store.
#[derive(Debug, clap::Args)]
#[command(after_help = UNREGISTER_EXAMPLES)]
struct UnregisterArgs {
    /// The broker
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: String,
}

const UNREGISTER_EXAMPLES: &str = "\
Examples:
  mq-broker unregister 77
  mq-broker unregister 3 --store /srv/mq
  mq-broker reassign orders=1,2 --wait && mq-broker stop 3
  mq-broker stop 3 && mq-broker unregister 3";

impl Tool for Args {
    const NAME: &'static str = "mq-broker";

    fn rules() -> &'static [Rule] {
        super::args_cluster::RULES
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        let job = self.job(env.stdin_is_terminal())?;
        super::run::run(job, env)
    }
}

impl Args {
    /// Makes the job, and checks everything that can be checked without the store.
    fn job(self, can_ask: bool) -> Result<BrokerJob> {
        Ok(match self.command {
            Command::Start(args) => BrokerJob::Start {
                id: broker_id(&args.id)?,
                options: BrokerOptions {
                    log_dir: args.log_dir.map(log_dir).transpose()?,
                    rack: args.rack.map(rack).transpose()?,
                },
            },
            Command::Init(args) => BrokerJob::Init(args.job()?),
            Command::Status(args) => BrokerJob::Status(args.output.try_into()?),
            Command::List(args) => BrokerJob::List(args.output.try_into()?),
            Command::Drain(args) => BrokerJob::Drain {
                id: broker_id(&args.id)?,
                undo: args.undo,
                timeout: timeout(&args.timeout)?,
            },
            Command::Stop(args) => BrokerJob::Stop {
                id: args.id.as_deref().map(broker_id).transpose()?,
                timeout: timeout(&args.timeout)?,
            },
            Command::Health(args) => args.job()?,
            Command::Elect(args) => args.job(can_ask)?,
            Command::Reassign(args) => args.job()?,
            Command::Locks(args) => BrokerJob::Locks(args.output.try_into()?),
            Command::Unregister(args) => BrokerJob::Unregister(broker_id(&args.id)?),
        })
    }
}

impl InitArgs {
    fn job(self) -> Result<Init> {
        Ok(Init {
            group: self.group,
            is_dry_run: self.dry_run,
            output: self.output.try_into()?,
        })
    }
}

fn log_dir(path: PathBuf) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(usage("--log-dir is empty", "name a directory"));
    }
    if path.to_str().is_none() {
        let text = format!("--log-dir {} is not UTF-8", path.display());
        return Err(usage(text, "name a directory in UTF-8"));
    }
    Ok(path)
}

/// The longest name of a rack, in bytes.
const RACK_BYTES_MAX: usize = 255;

fn rack(rack: String) -> Result<String> {
    if rack.len() > RACK_BYTES_MAX || rack.chars().any(char::is_control) {
        return Err(usage(
            format!("'{}' cannot be a rack", rack.escape_debug()),
            format!("use up to {RACK_BYTES_MAX} bytes, without control characters"),
        ));
    }
    Ok(rack)
}

fn timeout(text: &str) -> Result<Duration> {
    parse_duration(text).map_err(|e| e.at("--timeout"))
}

#[cfg(test)]
mod tests;
