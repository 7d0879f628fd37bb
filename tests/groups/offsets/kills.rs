//! `kill -9` at each system call of a change.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use super::has;
use super::shop::{export, export_if_there, groups, shop};
use crate::cli::{Done, Shell, run};
use crate::sweep::{CALLS, calls_in, killing, thinned};
use crate::tally::Tally;

/// A command whose kills are examined.
struct Form {
    name: &'static str,
    prepare: &'static [&'static [&'static str]],
    args: &'static [&'static str],
    group: &'static str,
}

const FORMS: [Form; 12] = [
    Form {
        name: "reset --by",
        prepare: &[],
        args: &["reset", "g", "--by", "1"],
        group: "g",
    },
    Form {
        name: "undo of an undo",
        prepare: &[
            &["delete-offsets", "g", "--topic", "t", "--yes"],
            &["undo", "g", "--yes"],
        ],
        args: &["undo", "g"],
        group: "g",
    },
    Form {
        name: "delete",
        prepare: &[],
        args: &["delete", "g"],
        group: "g",
    },
    Form {
        name: "reset --to",
        prepare: &[],
        args: &["reset", "g", "--to", "start"],
        group: "g",
    },
    Form {
        name: "reset --from-file",
        prepare: &[],
        args: &["reset", "g", "--from-file", "x.csv"],
        group: "g",
    },
    Form {
        name: "reset --to-group",
        prepare: &[&["commit", "o", "t:0=9", "u:1=9"]],
        args: &["reset", "g", "--to-group", "o"],
        group: "g",
    },
    Form {
        name: "undo of a reset",
        prepare: &[&["reset", "g", "--to", "end", "--yes"]],
        args: &["undo", "g"],
        group: "g",
    },
    Form {
        name: "undo of a delete",
        prepare: &[&["delete", "g", "--yes"]],
        args: &["undo", "g"],
        group: "g",
    },
    Form {
        name: "delete-offsets",
        prepare: &[],
        args: &["delete-offsets", "g", "--topic", "t"],
        group: "g",
    },
    Form {
        name: "clone into nothing",
        prepare: &[],
        args: &["clone", "g", "h"],
        group: "h",
    },
    Form {
        name: "clone over offsets",
        prepare: &[&["commit", "h", "u:1=7", "t:0=1"]],
        args: &["clone", "g", "h"],
        group: "h",
    },
    Form {
        name: "skip",
        prepare: &[],
        args: &["skip", "g", "t:0"],
        group: "g",
    },
];

fn strace(shell: &Shell, form: &Form, options: &[&str]) -> Done {
    let inner = shell.command("mq-groups", &[form.args, &["--yes"]].concat());
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "trace"])
        .args(options)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("MQ_STORE", shell.store())
        .current_dir(shell.dir())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    run(command, b"")
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.is_ok_and(|status| status.success()), "cp -a");
}

#[test]
fn a_killed_change_is_done_or_not_and_never_half() {
    let _tally = Tally::start();
    if !has("strace") {
        assert!(std::env::var_os("CI").is_none(), "CI needs strace");
        println!("offsets: skipped: strace is missing");
        return;
    }
    let killed = Mutex::new(0);
    std::thread::scope(|scope| {
        for part in 0..2 {
            let killed = &killed;
            scope.spawn(move || {
                for form in FORMS.iter().skip(part).step_by(2) {
                    *killed.lock().expect("killed") += kill_each(form);
                }
            });
        }
    });
    let killed = *killed.lock().expect("killed");
    println!("{killed} commands killed");
    assert!(killed > 100, "too few kills to tell: {killed}");
}

fn kill_each(form: &Form) -> usize {
    let shell = shop();
    fs::write(shell.dir().join("x.csv"), "t,0,9\nu,1,9\n").expect("written");
    for args in form.prepare {
        groups(&shell, args);
    }
    let template = shell.dir().join("template");
    copy(shell.store(), &template);
    let old = export_if_there(&shell, form.group);
    let trace = format!("trace={}", CALLS.join(","));
    let done = strace(&shell, form, &["-e", &trace]);
    assert_eq!(done.status, 0, "{}: {}", form.name, done.err);
    let new = export_if_there(&shell, form.group);
    assert_ne!(old, new, "{}", form.name);
    let mut killed = 0;
    let trace = fs::read_to_string(shell.dir().join("trace")).expect("a trace");
    let calls = calls_in(&trace);
    for (call, n) in thinned(&calls, calls.values().sum()) {
        Tally::case();
        let at = format!("{}, killed at {call} {n}", form.name);
        copy(&template, shell.store());
        let [trace, inject] = killing(call, n);
        let done = strace(&shell, form, &["-e", &trace, "-e", &inject]);
        assert!(
            matches!(done.status, 0 | 137),
            "{at}: {} {}",
            done.status,
            done.err
        );
        killed += usize::from(done.status == 137);
        let now = export_if_there(&shell, form.group);
        assert!(
            now == old || now == new,
            "{at}: {now:?} is neither {old:?} nor {new:?}"
        );
        if done.status == 0 {
            assert_eq!(now, new, "{at}");
        }
        // The next one goes on, whatever was left.
        groups(&shell, &["commit", form.group, "u:0=1"]);
        let next = export(&shell, form.group);
        assert!(next.contains("u,0,1\n"), "{at}: {next:?}");
        groups(&shell, &["undo", form.group, "--yes"]);
        assert_eq!(export_if_there(&shell, form.group), now, "{at}");
    }
    killed
}
