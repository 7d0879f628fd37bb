//! How errors read: for each kind what a person sees who provokes it (what, where, cure), and the
//! exit status. `MQ_BLESS=1` rewrites the snapshots in tests/snapshots/errors.

use crate::snapshot;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{Done, Running, Shell, TIMEOUT, run};
use crate::tally::Tally;
use mq::error::Kind;
use regex::Regex;
use rustix::process::Signal;

type Provoke = fn(&Shell) -> Option<Done>;

/// How each kind is provoked, and its exit status. `None`: not to be had on this machine.
const CASES: [(Kind, i32, Provoke); 22] = [
    (Kind::Io, 1, |shell| {
        shell.produce(&["t"], b"a\n");
        Some(shell.run("mq-produce", &["t", "no-such-file"], b""))
    }),
    (Kind::DiskFull, 1, |shell| {
        shell.produce(&["t"], b"a\n");
        let command = under(shell, "trap '' XFSZ; ulimit -f 64; exec \"$@\"", &["t"]);
        Some(run(
            command,
            &[vec![b'x'; 500_000], b"\n".to_vec()].concat(),
        ))
    }),
    (Kind::Usage, 2, |shell| {
        Some(shell.run("mq-consume", &["-e", "-o", "+-3", "t"], b""))
    }),
    (Kind::InvalidTopic, 2, |shell| {
        Some(shell.run("mq-produce", &["a/b"], b""))
    }),
    (Kind::InvalidConfig, 2, |shell| {
        Some(shell.run(
            "mq-topics",
            &["create", "t", "-c", "flush.messages=often"],
            b"",
        ))
    }),
    (Kind::NoStore, 1, |shell| {
        Some(shell.run("mq-consume", &["-e", "t"], b""))
    }),
    (Kind::UnusableStore, 1, |shell| {
        fs::create_dir(shell.store()).expect("made");
        fs::write(shell.store().join("diary"), "mine").expect("written");
        Some(shell.run("mq-produce", &["t"], b"a\n"))
    }),
    (Kind::UnknownTopic, 1, |shell| {
        shell.produce(&["orders"], b"a\n");
        Some(shell.run("mq-consume", &["-e", "ordres"], b""))
    }),
    (Kind::TopicExists, 1, |shell| {
        shell.topics(&["create", "t"]);
        Some(shell.run("mq-topics", &["create", "t"], b""))
    }),
    (Kind::MessageTooLarge, 1, |shell| {
        shell.topics(&["create", "t", "-c", "max.message.bytes=1000"]);
        Some(shell.run(
            "mq-produce",
            &["t"],
            &[b"a\n".to_vec(), vec![b'x'; 2000], b"\n".to_vec()].concat(),
        ))
    }),
    (Kind::InvalidRecord, 1, |shell| {
        shell.topics(&["create", "t"]);
        Some(shell.run("mq-produce", &["-K", "=", "t"], b"k=v\nno key\n"))
    }),
    (Kind::Damaged, 65, |shell| {
        shell.produce(&["t"], b"a\n");
        shell.produce(&["t"], b"b\n");
        let log = shell.logs().join("t-0/00000000000000000000.log");
        let mut bytes = fs::read(&log).expect("a log");
        bytes[66] ^= 1;
        fs::write(log, bytes).expect("written");
        Some(shell.run("mq-consume", &["-e", "t"], b""))
    }),
    (Kind::Offline, 1, |shell| {
        shell.produce(&["t"], b"a\n");
        let log = shell.logs().join("t-0/00000000000000000000.log");
        let file = fs::OpenOptions::new().write(true).open(log).expect("a log");
        file.set_len(10).expect("cut");
        shell.run("mq-produce", &["t"], b"b\n");
        Some(shell.run("mq-produce", &["t"], b"c\n"))
    }),
    (Kind::OffsetOutOfRange, 1, |shell| {
        shell.produce(&["t"], b"a\n");
        Some(shell.run("mq-groups", &["commit", "g", "t:0=99"], b""))
    }),
    (Kind::PolicyViolation, 1, |shell| {
        shell.produce(&["t"], b"a\n");
        Some(shell.run("mq-topics", &["compact", "t"], b""))
    }),
    (Kind::Fenced, 75, |shell| {
        shell.produce(&["t"], b"a\n");
        // As if another replica led it by now.
        fs::rename(shell.logs().join("t-0"), shell.dir().join("away")).expect("moved");
        Some(shell.run("mq-produce", &["t"], b"b\n"))
    }),
    (Kind::Busy, 75, |shell| {
        shell.produce(&["t"], b"a\n");
        let page = fs::File::open(shell.logs().join("t-0/partition.state")).expect("a page");
        fs2::FileExt::try_lock_exclusive(&page).expect("a lock");
        let done = shell.run("mq-produce", &["--timeout", "300ms", "t"], b"b\n");
        drop(page);
        Some(done)
    }),
    (Kind::Unknown, 74, |shell| {
        shell.produce(&["t"], b"a\n");
        if Command::new("strace").arg("-V").output().is_err() {
            return None;
        }
        let inject = "exec strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO:when=1 \"$@\"";
        Some(run(under(shell, inject, &["t"]), b"b\n"))
    }),
    (Kind::UnknownGroup, 1, |shell| {
        shell.produce(&["t"], b"a\n");
        shell.ok("mq-consume", &["-e", "-g", "billing", "t"], b"");
        Some(shell.run("mq-groups", &["delete", "biling", "--yes"], b""))
    }),
    (Kind::NonEmptyGroup, 1, |shell| {
        let _member = member(shell)?;
        Some(shell.run("mq-groups", &["reset", "g", "--to", "start", "--yes"], b""))
    }),
    (Kind::BrokerState, 1, |shell| {
        shell.topics(&["create", "t"]);
        Some(shell.run("mq-broker", &["stop", "0"], b""))
    }),
    (Kind::Interrupted, 130, |shell| {
        let broker = shell.start("mq-broker", &["start"]);
        assert!(
            broker.out.until(TIMEOUT, |out| out.contains(&b'\n')),
            "no ready line"
        );
        broker.signal(Signal::STOP);
        let mut stop = shell.start("mq-broker", &["stop"]);
        stop.close_stdin();
        // It asks, and then waits: that cannot be seen from outside but in its having started.
        std::thread::sleep(Duration::from_millis(500));
        stop.signal(Signal::INT);
        Some(stop.end_within(TIMEOUT))
    }),
];

/// More that a person may meet, by the name of its snapshot.
const MORE: [(&str, i32, Provoke); 5] = [
    ("Io-group-is-a-file", 1, |shell| {
        shell.produce(&["t"], b"a\n");
        fs::write(shell.store().join("groups/g"), "").expect("written");
        Some(shell.run("mq-consume", &["-e", "-g", "g", "t"], b""))
    }),
    ("Io-page-is-a-directory", 1, |shell| {
        shell.produce(&["t"], b"a\n");
        let page = shell.logs().join("t-0/partition.state");
        fs::remove_file(&page).expect("removed");
        fs::create_dir(page).expect("made");
        Some(shell.run("mq-consume", &["-e", "t"], b""))
    }),
    ("Io-page-is-a-link", 1, |shell| {
        shell.produce(&["t"], b"a\n");
        let page = shell.logs().join("t-0/partition.state");
        let elsewhere = shell.dir().join("elsewhere");
        fs::rename(&page, &elsewhere).expect("moved");
        std::os::unix::fs::symlink(elsewhere, page).expect("a link");
        Some(shell.run("mq-consume", &["-e", "t"], b""))
    }),
    ("Io-log-has-two-names", 1, |shell| {
        shell.produce(&["t"], b"a\n");
        let log = shell.logs().join("t-0/00000000000000000000.log");
        fs::hard_link(log, shell.dir().join("copy")).expect("a link");
        Some(shell.run("mq-produce", &["t"], b"b\n"))
    }),
    ("Io-input-below-a-file", 1, |shell| {
        fs::write(shell.dir().join("file"), "").expect("written");
        shell.topics(&["create", "t"]);
        Some(shell.run("mq-produce", &["t", "file/lines"], b""))
    }),
];

/// A member of group g that has read and committed.
fn member(shell: &Shell) -> Option<Running> {
    shell.produce(&["t"], b"first\n");
    let member = shell.start("mq-consume", &["-g", "g", "--commit-interval", "50ms", "t"]);
    member.says("first");
    let log = shell.store().join("groups/g/offsets.log");
    let until = Instant::now() + TIMEOUT;
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("commit")) {
        assert!(Instant::now() < until, "nothing is committed");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(member)
}

/// mq-produce under a shell that prepares something.
fn under(shell: &Shell, script: &str, args: &[&str]) -> Command {
    let inner = shell.command("mq-produce", args);
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args());
    command
        .env("MQ_STORE", shell.store())
        .current_dir(shell.dir());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What differs from run to run, by its name.
fn plain(shell: &Shell, err: &str) -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let mut text = err.replace(&*shell.store().to_string_lossy(), "STORE");
    text = text.replace(&*shell.dir().to_string_lossy(), "DIR");
    text = text.replace(&format!(" on {host}"), " on HOST");
    for (what, with) in [
        (r"process [0-9]+", "process PID"),
        (r"pid [0-9]+", "pid PID"),
        (r"[0-9]+ (ms|s)\b", "N $1"),
        (r"(members?:?) [A-Za-z0-9_-]{22}", "$1 ID"),
        (r"kill(.*) [0-9]+", "kill$1 PID"),
    ] {
        text = Regex::new(what)
            .expect("a pattern")
            .replace_all(&text, with)
            .into_owned();
    }
    text
}

#[test]
fn each_kind_says_what_where_and_what_to_do() {
    let _tally = Tally::start();
    let mut wrong = Vec::new();
    let kinds = CASES.map(|(kind, status, provoke)| (format!("{kind:?}"), status, provoke));
    let more = MORE.map(|(name, status, provoke)| (name.to_owned(), status, provoke));
    for (name, status, provoke) in kinds.into_iter().chain(more) {
        Tally::case();
        let shell = Shell::new();
        let Some(done) = provoke(&shell) else {
            println!("errors: skipped: {name}, which cannot be provoked on this machine");
            continue;
        };
        if done.status != status {
            wrong.push(format!(
                "{name}: status {}, not {status}: {}",
                done.status, done.err
            ));
        }
        let found = plain(&shell, &done.err);
        wrong.extend(snapshot::differs("errors", &name, &found));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No tool meets these: a member of a library's own, whose commit is refused in part.
const OF_THE_LIBRARY: [Kind; 1] = [Kind::Rebalanced];

#[test]
fn no_kind_is_forgotten() {
    let _tally = Tally::start();
    for kind in Kind::ALL {
        if OF_THE_LIBRARY.contains(&kind) {
            continue;
        }
        Tally::case();
        assert!(
            CASES.iter().any(|(case, ..)| *case == kind),
            "{kind:?} is not provoked"
        );
        assert!(
            snapshot::path("errors", &format!("{kind:?}")).is_file(),
            "{kind:?} has no snapshot: MQ_BLESS=1 cargo test --test cli errors"
        );
    }
}
