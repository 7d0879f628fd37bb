//! Static members: away for less than a session timeout, they find their partitions again.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::member::Member;
use super::view::{GroupDir, View};
use crate::cli::Shell;
use crate::tally::Tally;

const TIMEOUT: Duration = Duration::from_secs(60);

fn wait_for(group: &GroupDir, what: &str, holds: impl Fn(&View) -> bool) -> View {
    let started = Instant::now();
    loop {
        if let Some(view) = group.view()
            && holds(&view)
        {
            return view;
        }
        assert!(started.elapsed() < TIMEOUT, "{what}: {:#?}", group.view());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_static_member_returns_without_a_rebalance() {
    let _tally = Tally::start();
    for signal in [Signal::KILL, Signal::TERM] {
        Tally::case();
        let shell = Shell::new();
        shell.topics(&["create", "t", "-p", "6"]);
        let group = GroupDir::of(shell.store(), "g");
        let start = |n: usize, name: &str, timeout: &str| {
            Member::start(
                &shell,
                n,
                &[
                    "-g",
                    "g",
                    "t",
                    "--instance-id",
                    name,
                    "--session-timeout",
                    timeout,
                    "-f",
                    "%p %o %v\\n",
                ],
            )
        };
        let mut one = start(0, "one", "60s");
        let two = start(1, "two", "60s");
        let before = wait_for(&group, "two share", |view| {
            view.members.len() == 2 && view.is_stable()
        });
        let owned_by = |view: &View, pid: u32| {
            view.members
                .values()
                .find(|m| m.pid == pid)
                .map(|m| m.owned.clone())
        };
        let of_one = owned_by(&before, one.pid()).expect("a member");
        let of_two = owned_by(&before, two.pid()).expect("a member");
        one.signal(signal);
        one.end_within(TIMEOUT);
        std::thread::sleep(Duration::from_millis(300));
        let away = group.view().expect("a view");
        assert_eq!(
            owned_by(&away, two.pid()).as_ref(),
            Some(&of_two),
            "nothing moved"
        );
        assert_eq!(away.members.len(), 2, "it keeps its place");
        shell.produce(&["t"], b"a\nb\nc\nd\ne\nf\n");
        let again = start(2, "one", "60s");
        let after = wait_for(&group, "it is back", |view| {
            view.members.values().any(|m| m.pid == again.pid()) && view.is_stable()
        });
        assert_eq!(owned_by(&after, again.pid()).as_ref(), Some(&of_one));
        assert_eq!(owned_by(&after, two.pid()).as_ref(), Some(&of_two));
        let started = Instant::now();
        while two.printed().len() + again.printed().len() < 6 {
            assert!(started.elapsed() < TIMEOUT);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_static_member_that_stays_away_loses_its_partitions() {
    let _tally = Tally::start();
    Tally::case();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "4"]);
    let group = GroupDir::of(shell.store(), "g");
    let args = |name| {
        [
            "-g",
            "g",
            "t",
            "--instance-id",
            name,
            "--session-timeout",
            "1s",
        ]
    };
    let mut one = Member::start(&shell, 0, &args("one"));
    let two = Member::start(&shell, 1, &args("two"));
    wait_for(&group, "two share", |view| {
        view.members.len() == 2 && view.is_stable()
    });
    one.signal(Signal::KILL);
    one.end_within(TIMEOUT);
    let gone = Instant::now();
    let view = wait_for(&group, "one is removed", |view| {
        view.members.len() == 1 && view.is_stable()
    });
    assert!(
        gone.elapsed() >= Duration::from_millis(900),
        "{:?}",
        gone.elapsed()
    );
    assert_eq!(
        view.members.values().next().map(|m| (m.pid, m.owned.len())),
        Some((two.pid(), 4))
    );
}
