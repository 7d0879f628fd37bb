//! The command line of `mq-broker`.

use std::path::PathBuf;

use super::job::{Job, Start};
use crate::cli::common::{Common, usage};
use crate::cli::output::OutputArgs;
use crate::cli::{Env, Outcome, Tool};
use crate::error::Result;
use crate::types::{BrokerId, EMBEDDED_BROKER};

/// Run a broker, and see who holds what
///
/// No broker has to run: the other tools work on the store by themselves. A broker cares for one
/// directory of replicas while it runs.
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
  mq-broker start                                    broker 0, in the foreground
  mq-broker start --id 1 --log-dir /mnt/disk2/mq     a second one, on a disk of its own
  mq-broker status --format json
  mq-broker locks                                    who holds which lock
  mq-broker stop 1";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Start(StartArgs),
    Status(StatusArgs),
    Stop(StopArgs),
    Locks(LocksArgs),
}

/// Run a broker in the foreground
///
/// Prints one line on standard output when it is ready. INT, TERM and HUP end it with 0.
#[derive(Debug, clap::Args)]
#[command(after_help = START_EXAMPLES)]
struct StartArgs {
    /// The broker's id, from 0
    #[arg(long, value_name = "N", help_heading = "Broker", default_value_t = EMBEDDED_BROKER.to_string(), allow_hyphen_values = true)]
    id: String,
    /// Where its replicas lie [default: in the store]
    #[arg(long, value_name = "DIR", help_heading = "Broker")]
    log_dir: Option<PathBuf>,
    /// Where it stands: replicas are spread over racks
    #[arg(long, value_name = "RACK", help_heading = "Broker")]
    rack: Option<String>,
}

const START_EXAMPLES: &str = "\
Examples:
  mq-broker start
  mq-broker start --id 1 --log-dir /mnt/disk2/mq
  mq-broker start --id 2 --rack cellar
  mq-broker start --id 1 | grep -q . && echo ready";

/// Show brokers: registered, running, where
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

/// Stop a running broker, and wait until it has ended
#[derive(Debug, clap::Args)]
#[command(after_help = STOP_EXAMPLES)]
struct StopArgs {
    /// The broker [default: the only one that runs]
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: Option<String>,
}

const STOP_EXAMPLES: &str = "\
Examples:
  mq-broker stop
  mq-broker stop 1
  mq-broker stop 1 --store /srv/mq
  mq-broker stop 1 && mq-broker start --id 1";

/// Show who holds which lock of the store
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
  mq-broker locks --format json | jq -r .pid";

impl Tool for Args {
    const NAME: &'static str = "mq-broker";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, env: &mut Env) -> Result<Outcome> {
        super::run::run(self.job()?, env)
    }
}

impl Args {
    /// What is asked for, typed; everything that can be checked without the store is.
    fn job(self) -> Result<Job> {
        Ok(match self.command {
            Command::Start(args) => Job::Start(Start {
                id: broker_id(&args.id)?,
                log_dir: args.log_dir.map(non_empty_path).transpose()?,
                rack: args.rack.map(rack).transpose()?,
            }),
            Command::Status(args) => Job::Status(args.output.try_into()?),
            Command::Stop(args) => Job::Stop(args.id.as_deref().map(broker_id).transpose()?),
            Command::Locks(args) => Job::Locks(args.output.try_into()?),
        })
    }
}

fn broker_id(text: &str) -> Result<BrokerId> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        usage(
            format!("'{}' is not a broker's id", text.escape_debug()),
            format!("ids are whole numbers from 0 to {}", BrokerId::MAX),
        )
    })
}

fn non_empty_path(path: PathBuf) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(usage("--log-dir is empty", "name a directory"));
    }
    Ok(path)
}

/// Most characters of a rack's name.
const RACK_CHARS_MAX: usize = 249;

fn rack(name: String) -> Result<String> {
    if name.is_empty() || name.chars().count() > RACK_CHARS_MAX || name.contains(char::is_control) {
        return Err(usage(
            format!("'{}' cannot be a rack's name", name.escape_debug()),
            format!("use 1 to {RACK_CHARS_MAX} characters, no control characters"),
        ));
    }
    Ok(name)
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
