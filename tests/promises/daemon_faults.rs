//! Errors at each call of a daemon: a full disk, no descriptors, a failed read. It goes on, or says why
//! it cannot start; no acknowledged record goes.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::Shell;
use crate::common::switches::is_long;
use crate::scripts::{bash, can};

/// Faults, and how many calls of each kind a thread of a daemon makes in such a short life, about: each
/// thread meets its own Nth call.
const FAULTS: [(&str, &str, usize); 5] = [
    ("openat2", "EMFILE", 40),
    ("pwrite64", "ENOSPC", 20),
    ("renameat,renameat2", "ENOSPC", 8),
    ("pread64", "EIO", 40),
    ("mkdirat", "ENOSPC", 3),
];
/// Cases of each fault, spread over its calls; all of them in the long run.
const CASES: usize = 5;
const THREADS: usize = 3;

/// One case; whether the fault was met.
fn daemon_meets(call: &str, error: &str, nth: usize) -> bool {
    let shell = Shell::new();
    let what = format!("{error} at call {nth} of {call}");
    let done = bash(
        &shell,
        &format!(
            r#"
trap 'kill -9 $(jobs -p) $(cat pid*) 2> /dev/null; wait' EXIT
ready() {{ for i in $(seq 200); do grep -q ready: b$1 && return; kill -0 $(cat pid$1) 2> /dev/null || return 1; sleep 0.05; done; return 1; }}
mq-broker start --id 1 > b1 2>&1 & echo $! > pid1; ready 1 || exit 10
mq-topics create -q t --assign 1 || exit 11
# The second broker meets the fault: while it starts, or later.
strace -f -qq -o trace -e trace={call} -e inject={call}:error={error}:when={nth} mq-broker start --id 2 > b2 2>&1 & echo $! > pid2
if ! ready 2; then
  grep -q . b2 || {{ echo 'ended without a word' >&2; exit 12; }}
  mq-broker start --id 2 > b2 2>&1 & echo $! > pid2; ready 2 || {{ cat b2 >&2; exit 13; }}
fi
mq-topics create -q r --assign 1:2 || mq-topics create -q r --assign 1:2 || exit 14
seq 20 | mq-produce --timeout 20s r || exit 15
mq-broker health --wait --timeout 30s > health || {{ cat health >&2; exit 16; }}
kill -9 $(cat pid1)
for i in $(seq 200); do mq-topics describe r --format json | tr -d ' ' | grep -q '"leader":2' && break; sleep 0.05; done
seq 21 40 | mq-produce --timeout 20s r || exit 17
[ "$(mq-consume -e r)" = "$(seq 40)" ] || exit 18
[ $(wc -l < b2) -lt 30 ] || {{ echo "reported $(wc -l < b2) times" >&2; exit 19; }}
"#
        ),
    );
    let log = std::fs::read_to_string(shell.dir().join("b2")).unwrap_or_default();
    assert_eq!(done.status, 0, "{what}: {}\n{log}", done.err);
    std::fs::read_to_string(shell.dir().join("trace")).is_ok_and(|trace| trace.contains("INJECTED"))
}

#[test]
fn a_daemon_goes_on_after_an_error_at_any_call() {
    if !can("errors of daemons", &["strace"], false) {
        return;
    }
    let cases: Vec<_> = FAULTS
        .iter()
        .flat_map(|(call, error, calls)| {
            let step = if is_long() { 1 } else { (calls / CASES).max(1) };
            (1..=*calls)
                .step_by(step)
                .map(move |nth| (*call, *error, nth))
        })
        .collect();
    let (next, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((call, error, nth)) = cases.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let is_met = daemon_meets(call, error, *nth);
                    met.fetch_add(usize::from(is_met), Ordering::Relaxed);
                }
            });
        }
    });
    let met = met.into_inner();
    println!(
        "daemon faults: {met} of {} cases met their fault, 0 failures",
        cases.len()
    );
    assert!(
        met * 2 > cases.len(),
        "{met} of {} cases met their fault",
        cases.len()
    );
}
