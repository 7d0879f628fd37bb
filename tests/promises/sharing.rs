//! A store that is a Unix group's, used by real users of that group and by one who is not in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::cli::{Done, Running, run};
use crate::scripts::can;

const GROUP: u32 = 61_100;
const ALICE: u32 = 61_001;
const BOB: u32 = 61_002;
const OTHER_GROUP: u32 = 61_200;

/// A place that every user reaches, with the tools in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).expect("chmod");
        let place = Place { dir };
        let bin = place.dir.path().join("bin");
        fs::create_dir(&bin).expect("mkdir");
        fs::set_permissions(&bin, Permissions::from_mode(0o755)).expect("chmod");
        for exe in [
            env!("CARGO_BIN_EXE_mq-produce"),
            env!("CARGO_BIN_EXE_mq-consume"),
            env!("CARGO_BIN_EXE_mq-topics"),
            env!("CARGO_BIN_EXE_mq-groups"),
            env!("CARGO_BIN_EXE_mq-broker"),
        ] {
            let name = Path::new(exe).file_name().expect("a name");
            // By another process: a child that some other test starts meanwhile would inherit the
            // open copy, and until it is closed the copy cannot be run.
            let copied = Command::new("cp").arg(exe).arg(bin.join(name)).status();
            assert!(copied.expect("cp").success());
        }
        place
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// A tool run by a user with this umask, in the group or not.
    fn command(&self, user: u32, group: u32, umask: &str, tool: &str, args: &[&str]) -> Command {
        let (user, group) = (user.to_string(), group.to_string());
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &user, "--regid", &user, "--groups", &group])
            .args(["sh", "-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(self.dir.path().join("bin").join(tool))
            .args(args)
            .current_dir("/")
            .env("MQ_STORE", self.store())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn by(&self, user: u32, umask: &str, tool: &str, args: &[&str], input: &str) -> Done {
        run(
            self.command(user, GROUP, umask, tool, args),
            input.as_bytes(),
        )
    }

    /// A tool that must end with 0; its output.
    fn ok(&self, user: u32, umask: &str, tool: &str, args: &[&str], input: &str) -> String {
        let done = self.by(user, umask, tool, args, input);
        assert_eq!(done.status, 0, "{user} {tool} {args:?}: {}", done.err);
        done.text()
    }
}

/// Everything in a directory is the group's.
fn all_shared(dir: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).expect("readdir") {
        let path = entry.expect("an entry").path();
        let found = fs::symlink_metadata(&path).expect("stat");
        let mode = if found.is_dir() { 0o2770 } else { 0o660 };
        let (path_, now) = (path.display(), found.mode() & 0o7777);
        assert_eq!((now, found.gid()), (mode, GROUP), "{path_} {now:o}");
        count += 1;
        if found.is_dir() {
            count += all_shared(&path);
        }
    }
    count
}

/// Takes the default ACLs off a directory and those below.
fn without_acl(dir: &Path) {
    let acl = "system.posix_acl_default";
    match rustix::fs::removexattr(dir, acl) {
        // A file system that has none needs no test of its own.
        Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
        Err(e) => panic!("{}: {e}", dir.display()),
    }
    for entry in fs::read_dir(dir).expect("readdir") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            without_acl(&path);
        }
    }
}

/// All that two users do together, each with a umask that would shut the other out.
fn two_users(place: &Place) {
    let group = GROUP.to_string();
    let made = place.by(ALICE, "077", "mq-broker", &["init", "--group", &group], "");
    assert_eq!(made.status, 0, "{}", made.err);
    assert!(
        made.err.contains("of the Unix group 61100 now"),
        "{}",
        made.err
    );
    place.ok(ALICE, "077", "mq-produce", &["t"], "1 alice\n");
    place.ok(BOB, "027", "mq-produce", &["t"], "2 bob\n");
    place.ok(
        BOB,
        "077",
        "mq-topics",
        &["create", "b", "-p", "4", "-c", "segment.bytes=1024"],
        "",
    );
    let many: String = (0..2_000)
        .map(|n| format!("{n} a line of alice's\n"))
        .collect();
    place.ok(ALICE, "022", "mq-produce", &["b"], &many);
    let read = place.ok(BOB, "077", "mq-consume", &["-e", "-q", "-g", "g", "t"], "");
    assert_eq!(read, "1 alice\n2 bob\n");
    place.ok(ALICE, "077", "mq-produce", &["t"], "3 alice\n");
    let read = place.ok(
        ALICE,
        "077",
        "mq-consume",
        &["-e", "-q", "-g", "g", "t"],
        "",
    );
    assert_eq!(read, "3 alice\n");
    place.ok(
        ALICE,
        "077",
        "mq-groups",
        &["reset", "g", "--to", "start", "--yes"],
        "",
    );
    place.ok(
        BOB,
        "077",
        "mq-topics",
        &["alter", "t", "-c", "flush.messages=5"],
        "",
    );
    // A broker of one, with replicas on another disk; stopped by the other.
    let logs = place.dir.path().join("logs-1").display().to_string();
    let args = ["start", "--id", "1", "--log-dir", &logs];
    let mut daemon = place.command(BOB, GROUP, "077", "mq-broker", &args);
    let running = Running::of(daemon.stdin(Stdio::piped()).spawn().expect("spawn"));
    running.says(" ready: ");
    place.ok(
        ALICE,
        "077",
        "mq-topics",
        &["create", "r", "--assign", "1"],
        "",
    );
    place.ok(
        ALICE,
        "077",
        "mq-produce",
        &["r"],
        "alice's on bob's disk\n",
    );
    place.ok(ALICE, "077", "mq-broker", &["health"], "");
    // The kernel lets nobody but a process's user signal it.
    let refused = place.by(ALICE, "077", "mq-broker", &["stop", "1"], "");
    assert_eq!(refused.status, 1, "{}", refused.err);
    assert!(
        refused.err.contains("stop it as that user"),
        "{}",
        refused.err
    );
    place.ok(BOB, "077", "mq-broker", &["stop", "1"], "");
    running.end();
    place.ok(ALICE, "077", "mq-produce", &["r"], "and once more\n");
    assert!(all_shared(&place.store()) > 60);
    assert!(all_shared(Path::new(&logs)) >= 4);
    // Killed, it is the other who mends.
    let mut killed = place.command(BOB, GROUP, "077", "mq-produce", &["t", "--linger", "10s"]);
    let killed = Running::of(killed.stdin(Stdio::piped()).spawn().expect("spawn"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    killed.signal(Signal::KILL);
    killed.end();
    place.ok(ALICE, "077", "mq-produce", &["t"], "4 alice\n");
    place.ok(ALICE, "077", "mq-topics", &["verify"], "");
    place.ok(ALICE, "077", "mq-topics", &["delete", "b", "--yes"], "");
    all_shared(&place.store());
    // One who is not in the group.
    let command = place.command(61_003, OTHER_GROUP, "022", "mq-consume", &["-e", "t"]);
    let refused = run(command, b"");
    assert_eq!(refused.status, 1, "{}", refused.err);
    assert!(refused.err.contains("Unix group"), "{}", refused.err);
}

#[test]
fn members_of_a_stores_group_share_it_whatever_their_umask() {
    if !can("sharing", &["setpriv"], true) {
        return;
    }
    two_users(&Place::new());
}

#[test]
fn a_store_without_acls_is_shared_too() {
    if !can("sharing", &["setpriv"], true) {
        return;
    }
    let place = Place::new();
    two_users(&place);
    // What is made from now on has its mode by fchmod alone.
    without_acl(&place.store());
    place.ok(BOB, "077", "mq-produce", &["later"], "5 bob\n");
    place.ok(ALICE, "077", "mq-produce", &["later"], "6 alice\n");
    all_shared(&place.store());
}

#[test]
fn a_store_is_given_to_a_group_with_all_that_is_in_it_and_repaired_where_it_is_not() {
    if !can("sharing", &["setpriv"], true) {
        return;
    }
    let place = Place::new();
    let group = GROUP.to_string();
    let init = ["init", "--group", group.as_str()];
    place.ok(ALICE, "022", "mq-produce", &["t"], "1\n");
    let described = |user| {
        let text = place.ok(
            user,
            "022",
            "mq-topics",
            &["describe", "t", "--format", "json"],
            "",
        );
        let json: Value = serde_json::from_str(&text).expect("JSON");
        json["unix_group"].clone()
    };
    assert_eq!(described(ALICE), Value::Null);
    let refused = place.by(BOB, "022", "mq-consume", &["-e", "t"], "");
    assert_eq!(refused.status, 1, "{}", refused.err);
    // One who is not in the group cannot give it.
    let mut command = place.command(ALICE, OTHER_GROUP, "022", "mq-broker", &init);
    let refused = run(std::mem::replace(&mut command, Command::new("true")), b"");
    assert_eq!(refused.status, 1, "{}", refused.err);
    assert!(refused.err.contains("id -nG"), "{}", refused.err);

    place.ok(ALICE, "022", "mq-broker", &init, "");
    all_shared(&place.store());
    assert_eq!(described(BOB), Value::String(group.clone()));
    let table = place.ok(BOB, "022", "mq-topics", &["describe", "t"], "");
    assert!(table.contains("Unix group 61100"), "{table}");
    let again = place.by(ALICE, "022", "mq-broker", &init, "");
    assert!(again.err.contains("already"), "{}", again.err);

    let file = place.store().join("brokers/0/logs/t-0/partition.metadata");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
    let health = place.by(BOB, "022", "mq-broker", &["health"], "");
    assert_eq!(health.status, 1, "{}", health.err);
    let table = health.text();
    assert!(table.contains("not-shared"), "{table}");
    let tsv = place.by(BOB, "022", "mq-broker", &["health", "--format", "tsv"], "");
    assert!(
        tsv.text().contains("t-0/partition.metadata is not shared"),
        "{}",
        tsv.text()
    );
    // It is alice's: bob cannot.
    let partly = place.by(BOB, "022", "mq-broker", &init, "");
    assert_eq!(partly.status, 1, "{}", partly.err);
    assert!(partly.err.contains("of another owner"), "{}", partly.err);
    place.ok(ALICE, "022", "mq-broker", &init, "");
    place.ok(BOB, "022", "mq-broker", &["health"], "");

    let home = place.dir.path().join("home");
    fs::create_dir(&home).expect("mkdir");
    fs::set_permissions(&home, Permissions::from_mode(0o700)).expect("chmod");
    std::os::unix::fs::chown(&home, Some(ALICE), Some(ALICE)).expect("chown");
    let within = home.join("store").display().to_string();
    let args = ["init", "--group", &group, "--store", &within];
    let warned = place.by(ALICE, "022", "mq-broker", &args, "");
    assert_eq!(warned.status, 0, "{}", warned.err);
    assert!(
        warned.err.contains("home lets no member of 61100"),
        "{}",
        warned.err
    );
    let unknown = place.by(
        ALICE,
        "022",
        "mq-broker",
        &["init", "--group", "no such"],
        "",
    );
    assert_eq!(unknown.status, 2, "{}", unknown.err);
}

/// Modes and groups of a directory and all below.
fn permissions(dir: &Path) -> Vec<(PathBuf, u32, u32)> {
    let own = fs::symlink_metadata(dir).expect("stat");
    let mut all = vec![(dir.to_owned(), own.mode(), own.gid())];
    if own.is_dir() {
        for entry in fs::read_dir(dir).expect("readdir") {
            all.extend(permissions(&entry.expect("an entry").path()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_plan_shows_what_init_then_does_and_changes_nothing() {
    if !can("sharing", &["setpriv"], true) {
        return;
    }
    let place = Place::new();
    let group = GROUP.to_string();
    let init = ["init", "--group", group.as_str()];
    let plan = ["init", "--group", &group, "--dry-run", "--format", "tsv"];
    let planned = place.by(ALICE, "022", "mq-broker", &plan, "");
    assert_eq!(planned.status, 0, "{}", planned.err);
    let store = place.store().display().to_string();
    assert_eq!(planned.text(), format!("{store}\t-\t-\t-\t2770\n"));
    let says = "would be made a store of the Unix group 61100";
    assert!(planned.err.contains(says), "{}", planned.err);
    let private = place.by(ALICE, "022", "mq-broker", &["init", "--dry-run"], "");
    assert!(private.err.contains("would be made a store"));
    assert!(!place.store().exists());

    place.ok(ALICE, "022", "mq-produce", &["t"], "1\n");
    let private = place.by(ALICE, "022", "mq-broker", &["init", "--dry-run"], "");
    assert!(
        private.err.contains("is a store already"),
        "{}",
        private.err
    );
    let before = permissions(&place.store());
    let planned = place.by(ALICE, "022", "mq-broker", &plan, "");
    assert_eq!(planned.status, 0, "{}", planned.err);
    assert_eq!(permissions(&place.store()), before);
    let refused = run(
        place.command(ALICE, OTHER_GROUP, "022", "mq-broker", &plan),
        b"",
    );
    assert_eq!(refused.status, 1, "{}", refused.err);
    assert!(refused.err.contains("id -nG"), "{}", refused.err);
    place.ok(ALICE, "022", "mq-broker", &init, "");
    // Just those that it named, as it said.
    let text = planned.text();
    let mut reported: Vec<(PathBuf, u32)> = text
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [path, owner, from, mode, to] = fields[..] else {
                panic!("{line}");
            };
            assert_eq!((owner, from), ("61001", "61001"), "{line}");
            assert!(["0700", "0600", "0755", "0644"].contains(&mode), "{line}");
            (path.into(), u32::from_str_radix(to, 8).expect("octal"))
        })
        .collect();
    reported.sort();
    let then: Vec<(PathBuf, u32)> = permissions(&place.store())
        .into_iter()
        // The lock is a new file each time.
        .filter(|(path, ..)| reported.iter().any(|(one, _)| one == path))
        .map(|(path, mode, _)| (path, mode & 0o7777))
        .collect();
    assert_eq!(reported, then);
    assert!(reported.len() > 20, "{}", reported.len());

    let nothing = place.by(ALICE, "022", "mq-broker", &plan, "");
    assert_eq!((nothing.status, nothing.text().as_str()), (0, ""));
    assert!(
        nothing.err.contains("nothing is to be given"),
        "{}",
        nothing.err
    );
    let file = place.store().join("brokers/0/logs/t-0/partition.metadata");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
    let partly = place.by(BOB, "022", "mq-broker", &plan, "");
    assert_eq!(
        (partly.status, partly.text().as_str()),
        (1, ""),
        "{}",
        partly.err
    );
    let says = "1 of another owner would stay as they are";
    assert!(partly.err.contains(says), "{}", partly.err);

    let home = place.dir.path().join("home");
    let within = home.join("store").display().to_string();
    let args = ["init", "--group", &group, "--dry-run", "--store", &within];
    let warned = place.by(ALICE, "022", "mq-broker", &args, "");
    assert_eq!(warned.status, 0, "{}", warned.err);
    let says = "home would let no member of 61100 through";
    assert!(warned.err.contains(says), "{}", warned.err);
    assert!(!home.exists());
    for (args, says) in [
        (
            &["init", "--group", &group, "--format", "tsv"][..],
            "--dry-run",
        ),
        (&["init", "--dry-run", "--format", "tsv"], "--group"),
    ] {
        let refused = place.by(ALICE, "022", "mq-broker", args, "");
        assert_eq!(refused.status, 2, "{}", refused.err);
        assert!(refused.err.contains(says), "{}", refused.err);
    }
}

#[test]
fn a_file_that_is_not_the_groups_is_reported_with_a_cure() {
    if !can("sharing", &["setpriv"], true) {
        return;
    }
    let place = Place::new();
    let group = GROUP.to_string();
    let init = ["init", "--group", group.as_str()];
    place.ok(ALICE, "022", "mq-broker", &init, "");
    place.ok(ALICE, "022", "mq-produce", &["t"], "1\n");
    place.ok(ALICE, "022", "mq-groups", &["commit", "g", "t:0=0"], "");
    let elsewhere = place.dir.path().join("elsewhere");
    let log_dir = elsewhere.display().to_string();
    let mut broker = Running::of(
        place
            .command(
                ALICE,
                GROUP,
                "022",
                "mq-broker",
                &["start", "--id", "1", "--log-dir", &log_dir],
            )
            .spawn()
            .expect("broker"),
    );
    broker.says("ready");
    place.ok(
        ALICE,
        "022",
        "mq-topics",
        &["create", "far", "--assign", "0:1"],
        "",
    );
    place.ok(ALICE, "022", "mq-produce", &["far"], "1\n");
    broker.signal(Signal::TERM);
    broker.end_within(crate::cli::TIMEOUT);
    let cure = |done: &Done, what: &str| {
        assert_eq!(done.status, 1, "{what}: {}", done.err);
        for says in ["'mq-broker health'", "'mq-broker init --group 61100'"] {
            assert!(done.err.contains(says), "{what}: {}", done.err);
        }
    };
    let logs = place.store().join("brokers/0/logs");
    for (path, tool, args) in [
        (
            logs.join("t-0/00000000000000000000.log"),
            "mq-consume",
            &["-e", "t"][..],
        ),
        (logs.join("t-0"), "mq-consume", &["-e", "t"]),
        (logs.join("t-0"), "mq-produce", &["t"]),
        (logs.clone(), "mq-topics", &["offsets", "t"]),
        (
            place.store().join("groups/g/offsets.log"),
            "mq-groups",
            &["describe", "g"],
        ),
        (place.store().join("topics"), "mq-topics", &["list"]),
        (elsewhere.join("far-0"), "mq-consume", &["-e", "far"]),
        (elsewhere.clone(), "mq-consume", &["-e", "far"]),
    ] {
        let mode = fs::metadata(&path).expect("stat").permissions();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("chmod");
        let done = place.by(BOB, "022", tool, args, "2\n");
        cure(&done, &format!("{tool} {args:?} {}", path.display()));
        fs::set_permissions(&path, mode).expect("chmod");
    }
    // The lock alone.
    let lock = fs::read_dir(place.store())
        .expect("readdir")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.display().to_string().contains("/lock."))
        .expect("a lock");
    for entry in fs::read_dir(&lock).expect("readdir") {
        let path = entry.expect("an entry").path();
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("chmod");
    }
    let done = place.by(BOB, "022", "mq-topics", &["create", "u"], "");
    cure(&done, "the lock");
    place.ok(ALICE, "022", "mq-broker", &init, "");
    place.ok(BOB, "022", "mq-topics", &["create", "u"], "");
    // What is not in the store has another cure.
    let input = place.dir.path().join("input");
    fs::write(&input, "3\n").expect("written");
    fs::set_permissions(&input, Permissions::from_mode(0o600)).expect("chmod");
    let input = input.display().to_string();
    let done = place.by(BOB, "022", "mq-produce", &["t", &input], "");
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("ask its owner"), "{}", done.err);

    let away = place.store().join("away");
    fs::rename(&logs, &away).expect("moved");
    let done = place.by(ALICE, "022", "mq-topics", &["create", "v"], "");
    let command = format!("mkdir -m 2770 {}", logs.display());
    assert!(done.err.contains(&format!("'{command}'")), "{}", done.err);
    let mut mkdir = Command::new("setpriv");
    mkdir
        .args(["--reuid", "61001", "--regid", "61001", "--groups", "61100"])
        .args(["sh", "-c", &format!("umask 077; {command}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let made = run(mkdir, b"");
    assert_eq!(made.status, 0, "{}", made.err);
    place.ok(BOB, "077", "mq-topics", &["create", "v"], "");
    all_shared(&logs);
}

#[test]
fn a_wait_for_health_walks_the_store_seldom() {
    if !can("sharing", &["setpriv", "strace"], true) {
        return;
    }
    let place = Place::new();
    let group = GROUP.to_string();
    let init = ["init", "--group", group.as_str()];
    place.ok(ALICE, "022", "mq-broker", &init, "");
    place.ok(ALICE, "022", "mq-produce", &["t"], "1\n");
    place.ok(ALICE, "022", "mq-produce", &["lost"], "1\n");
    let walks = || {
        let trace = place.dir.path().join("trace");
        let mut command = Command::new("strace");
        command
            .args(["-f", "-e", "trace=newfstatat,fstatat64,statx", "-o"])
            .arg(&trace)
            .arg(place.dir.path().join("bin/mq-broker"))
            .args(["health", "--wait", "--timeout", "3s", "--store"])
            .arg(place.store())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let done = run(command, b"");
        assert_eq!(done.status, 1, "{}", done.err);
        let text = fs::read_to_string(&trace).expect("a trace");
        let is_of_note = |line: &&str| line.contains("\"note\"");
        text.lines().filter(is_of_note).count()
    };
    // Only a walk over everything sees it.
    let note = place.store().join("brokers/0/logs/t-0/note");
    fs::write(&note, "").expect("written");
    fs::set_permissions(&note, Permissions::from_mode(0o600)).expect("chmod");
    // At the begin, 2 s later, and at the end.
    let seldom = walks();
    assert!((2..=3).contains(&seldom), "{seldom}");
    fs::remove_dir_all(place.store().join("brokers/0/logs/lost-0")).expect("removed");
    // Nothing but the end of the wait calls for it.
    assert_eq!(walks(), 1);
}
