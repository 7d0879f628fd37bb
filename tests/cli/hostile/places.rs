//! Links, pipes and permissions in and around a store.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::cli::Shell;
use crate::tally::Tally;

/// What is put in the place of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trap {
    Symlink,
    Fifo,
    HardLink,
}

fn set(trap: Trap, at: &Path, aside: &Path) {
    match trap {
        Trap::Symlink => {
            fs::rename(at, aside).expect("moved");
            symlink(aside, at).expect("linked");
        }
        Trap::Fifo => {
            fs::rename(at, aside).expect("moved");
            let made = Command::new("mkfifo").arg(at).status().expect("mkfifo");
            assert!(made.success());
        }
        Trap::HardLink => fs::hard_link(at, aside).expect("linked"),
    }
}

#[test]
fn links_and_pipes_in_the_store_are_refused() {
    let _tally = Tally::start();
    let places = [
        "store.json",
        "topics",
        "topics/t.json",
        "brokers/0/logs",
        "brokers/0/logs/t-0",
        "brokers/0/logs/t-0/partition.state",
        "brokers/0/logs/t-0/00000000000000000000.log",
    ];
    for place in places {
        for trap in [Trap::Symlink, Trap::Fifo, Trap::HardLink] {
            let shell = Shell::new();
            shell.produce(&["t"], b"a\nb\n");
            let at = shell.store().join(place);
            if trap == Trap::HardLink && at.is_dir() {
                continue;
            }
            set(trap, &at, &shell.dir().join("aside"));
            let produced = shell.run(
                "mq-produce",
                &["--timeout", "2s", "--no-create", "t"],
                b"c\n",
            );
            let consumed = shell.run("mq-consume", &["-e", "t"], b"");
            let verified = shell.run("mq-topics", &["verify", "t"], b"");
            for (tool, done) in [
                ("produce", &produced),
                ("consume", &consumed),
                ("verify", &verified),
            ] {
                Tally::case();
                assert!(
                    [1, 65, 75].contains(&done.status) && done.err.starts_with("mq-")
                        || tool == "verify" && done.status == 65,
                    "{trap:?} at {place}: {tool} ends with {}: {}{}",
                    done.status,
                    done.err,
                    done.text()
                );
            }
            assert!(
                consumed.out.is_empty(),
                "{trap:?} at {place}: read through it"
            );
        }
    }
}

#[test]
fn a_store_path_that_is_no_directory_is_refused() {
    let _tally = Tally::start();
    for trap in ["file", "fifo", "foreign", "below a file"] {
        Tally::case();
        let shell = Shell::new();
        match trap {
            "file" => fs::write(shell.store(), "x").expect("written"),
            "fifo" => assert!(
                Command::new("mkfifo")
                    .arg(shell.store())
                    .status()
                    .expect("mkfifo")
                    .success()
            ),
            "foreign" => {
                fs::create_dir(shell.store()).expect("made");
                fs::write(shell.store().join("mine"), "x").expect("written");
            }
            _ => fs::write(shell.dir().join("f"), "x").expect("written"),
        }
        let path = if trap == "below a file" {
            shell.dir().join("f/store")
        } else {
            shell.store().to_owned()
        };
        let before = fs::read_dir(shell.dir()).expect("listed").count();
        for (tool, args) in [
            ("mq-produce", ["t", "--store"]),
            ("mq-topics", ["list", "--store"]),
        ] {
            let args = [args[0], args[1], path.to_str().expect("text")];
            let done = shell.run(tool, &args, b"x\n");
            assert_eq!(done.status, 1, "{trap}: {}", done.err);
        }
        assert_eq!(
            fs::read_dir(shell.dir()).expect("listed").count(),
            before,
            "{trap}: made a path"
        );
    }
}

#[test]
fn new_files_are_private_and_a_loose_store_warns() {
    let _tally = Tally::start();
    let shell = Shell::new();
    Tally::case();
    shell.produce(&["t"], b"a\n");
    shell.ok("mq-consume", &["-e", "-g", "g", "t"], b"");
    let mut dirs = vec![shell.store().to_owned()];
    let mut files = 0;
    while let Some(dir) = dirs.pop() {
        assert_eq!(mode(&dir), 0o700, "{}", dir.display());
        for entry in fs::read_dir(&dir).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                files += 1;
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    assert!(files > 5);
    Tally::case();
    fs::set_permissions(shell.store(), Permissions::from_mode(0o777)).expect("loosened");
    let done = shell.run("mq-consume", &["-e", "t"], b"");
    assert_eq!((done.status, done.text().as_str()), (0, "a\n"));
    assert!(done.err.contains("warning:"), "no warning: {}", done.err);
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path)
        .expect("there")
        .permissions()
        .mode()
        & 0o777
}
