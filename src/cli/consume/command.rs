//! The commands that handle batches: how they are started, and their input and environment.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::Env;
use crate::client::groups::CommandFile;
use crate::client::{Generation, GroupSession};
use crate::error::{Error, Kind, Result};
use crate::types::{Offset, TopicPartition};

/// The longest key that goes into the environment: Linux takes no string over 128 KiB there, and
/// this one begins with `MQ_KEY=` and ends with a NUL.
const KEY_LEN_MAX: usize = (128 << 10) - "MQ_KEY=".len() - 1;
/// The pause between two checks of a running command.
const POLL: Duration = Duration::from_millis(50);

/// The records that the command is to handle next.
#[derive(Debug, Default)]
pub struct CommandBatch {
    /// The offset of the first record.
    pub first: Offset,
    /// The offset of the last record.
    pub last: Offset,
    /// The number of records.
    pub count: u64,
    /// The bytes of their keys and values.
    pub bytes: usize,
    /// The key of the first record.
    pub key: Option<Vec<u8>>,
    /// All records, rendered.
    pub input: Arc<Vec<u8>>,
}

/// Starts the command for one batch after another.
#[derive(Debug)]
pub struct Commands {
    /// The argument of `sh -c`.
    text: String,
    /// The store, for the command's environment: mq's own environment lacks `--store`.
    store: PathBuf,
    session_timeout: Duration,
    reported_of_key: bool,
    /// Shows other members which command runs.
    file: Option<CommandFile>,
    /// The assignments for which no former owner's command runs any more.
    free: HashMap<TopicPartition, Generation>,
    /// The partitions for which a former owner's command still runs.
    taken: HashMap<TopicPartition, Taken>,
    /// When those partitions are checked again.
    next_poll: Duration,
}

/// A partition for which a dead member's command runs.
#[derive(Debug, Clone, Copy)]
struct Taken {
    generation: Generation,
    /// Since when this is known.
    since: Duration,
}

impl Commands {
    /// Makes the commands of one run.
    pub fn new(text: String, store: PathBuf, session_timeout: Duration) -> Self {
        Commands {
            text,
            store,
            session_timeout,
            reported_of_key: false,
            file: None,
            free: HashMap::new(),
            taken: HashMap::new(),
            next_poll: Duration::ZERO,
        }
    }

    /// Whether no command of the partition's former owner, a member that died, runs any more: two
    /// commands at once would handle the same records. After one session timeout the partition
    /// counts as free in any case.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn is_free(
        &mut self,
        tp: &TopicPartition,
        generation: Generation,
        session: &GroupSession,
        env: &Env,
    ) -> Result<bool> {
        if self.file.is_none() {
            self.file = Some(session.command_file()?);
        }
        if self.free.get(tp) == Some(&generation) {
            return Ok(true);
        }
        if let Some(pid) = session.running_command(tp)? {
            let pid = pid.map_or_else(|| "of unknown number".to_owned(), |pid| pid.to_string());
            let now = env.monotonic();
            let known = self.taken.get(tp).filter(|it| it.generation == generation);
            let Some(waited) = known.map(|it| now.saturating_sub(it.since)) else {
                let since = now;
                self.taken.insert(tp.clone(), Taken { generation, since });
                env.note(&format!(
                    "{tp}: waiting for process {pid}, the command of a member that died, for up \
                     to {} s",
                    self.session_timeout.as_secs_f32()
                ));
                return Ok(false);
            };
            if waited < self.session_timeout {
                return Ok(false);
            }
            env.warn(&format!(
                "{tp}: process {pid} still runs, the command of a member that died: going on \
                 beside it after {} s",
                waited.as_secs()
            ));
        }
        self.taken.remove(tp);
        self.free.insert(tp.clone(), generation);
        Ok(true)
    }

    /// The partitions that have become free since the last check.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn freed(
        &mut self,
        owned: &HashMap<TopicPartition, Generation>,
        session: &GroupSession,
        env: &Env,
    ) -> Result<Vec<TopicPartition>> {
        let now = env.monotonic();
        if self.taken.is_empty() || now < self.next_poll {
            return Ok(Vec::new());
        }
        self.next_poll = now + POLL;
        self.taken
            .retain(|tp, taken| owned.get(tp) == Some(&taken.generation));
        let taken: Vec<_> = self
            .taken
            .iter()
            .map(|(tp, it)| (tp.clone(), *it))
            .collect();
        let mut freed = Vec::new();
        for (tp, taken) in taken {
            if self.is_free(&tp, taken.generation, session, env)? {
                freed.push(tp);
            }
        }
        Ok(freed)
    }

    /// The time until the next check for partitions that have become free.
    pub fn polls_again(&self) -> Option<Duration> {
        (!self.taken.is_empty()).then_some(POLL)
    }

    /// Runs the command for a batch, and waits for its end. `with_key`: the batch is one record.
    ///
    /// # Errors
    /// [`Kind::Io`] if it cannot be run.
    pub fn run(
        &mut self,
        batch: &CommandBatch,
        tp: &TopicPartition,
        with_key: bool,
        env: &Env,
    ) -> Result<ExitStatus> {
        let key = batch.key.as_deref().filter(|_| with_key);
        let fits = key.filter(|key| key.len() <= KEY_LEN_MAX && !key.contains(&0));
        if fits != key {
            self.notify_of_key(batch, tp, env);
        }
        if let Some(file) = &self.file {
            file.begin(tp)?;
        }
        let mut spawned = self.command(batch, tp, fits).spawn();
        if matches!(&spawned, Err(e) if e.kind() == io::ErrorKind::ArgumentListTooLong)
            && fits.is_some()
        {
            // The environment's total size is limited too, and other variables make up most of it.
            self.notify_of_key(batch, tp, env);
            spawned = self.command(batch, tp, None).spawn();
        }
        let ended = spawned
            .map_err(|e| Error::io("run", "sh", e))
            .and_then(|child| self.attend(child, batch, tp));
        if let Some(file) = &self.file {
            file.end()?;
        }
        ended
    }

    fn attend(
        &self,
        mut child: Child,
        batch: &CommandBatch,
        tp: &TopicPartition,
    ) -> Result<ExitStatus> {
        if let Some(file) = &self.file {
            file.started(tp, child.id())?;
        }
        if let Some(mut stdin) = child.stdin.take() {
            let input = Arc::clone(&batch.input);
            // The command's exit status decides, whether the command reads its input or not. The
            // thread is not joined: a child of the command may keep the input open.
            std::thread::Builder::new()
                .name("feed".to_owned())
                .spawn(move || stdin.write_all(&input))
                .map_err(|e| Error::io("start", "the thread that feeds the command", e))?;
        }
        child.wait().map_err(|e| Error::io("wait for", "sh", e))
    }

    fn command(&self, batch: &CommandBatch, tp: &TopicPartition, key: Option<&[u8]>) -> Command {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(&self.text)
            .stdin(Stdio::piped())
            .env("MQ_STORE", &self.store)
            .env("MQ_TOPIC", tp.topic.as_str())
            .env("MQ_PARTITION", tp.partition.to_string())
            .env("MQ_OFFSET", batch.first.to_string())
            .env("MQ_OFFSET_LAST", batch.last.to_string())
            .env("MQ_COUNT", batch.count.to_string())
            .env_remove("MQ_KEY");
        if let Some(key) = key {
            command.env("MQ_KEY", OsStr::from_bytes(key));
        }
        command
    }

    /// Notes the long key, once in a run: where one key is too long, others probably are too.
    fn notify_of_key(&mut self, batch: &CommandBatch, tp: &TopicPartition, env: &Env) {
        if !std::mem::replace(&mut self.reported_of_key, true) {
            env.note(&format!(
                "the key at offset {} of {tp} does not fit into the environment: the command runs \
                 without MQ_KEY wherever a key has a NUL or is too long",
                batch.first
            ));
        }
    }
}

/// Checks that the shell will find the command. A text that is more than a plain word is left to
/// the shell.
///
/// # Errors
/// [`Kind::Usage`] if the command is not found.
pub fn check_command(command: &str) -> Result<()> {
    let word = command.split_whitespace().next().unwrap_or_default();
    if word.is_empty() {
        return Err(Error::new(Kind::Usage, "--exec has no command")
            .cure("say what handles a record, such as --exec 'jq .'"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/+-".contains(c);
    if !word.chars().all(is_plain) {
        return Ok(());
    }
    let found = Command::new("sh")
        .args(["-c", "command -v -- \"$1\"", "sh", word])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|e| Error::io("run", "sh", e))?;
    if found.success() {
        return Ok(());
    }
    Err(
        Error::new(Kind::Usage, format!("--exec: there is no command '{word}'"))
            .cure("check its spelling, and PATH"),
    )
}
