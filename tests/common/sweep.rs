//! The calls of a command that change the store, and those at which a sweep kills it.
#![allow(dead_code, reason = "each binary uses a part")]

use std::collections::BTreeMap;

use super::switches::is_long;

/// The calls that make, change, publish or lock something.
pub const CALLS: [&str; 10] = [
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "ftruncate",
    "renameat",
    "renameat2",
    "unlinkat",
    "flock",
    "mkdirat",
];

/// How often each call occurs in strace's output: in the thread with the most of them, as strace
/// counts `when`.
pub fn calls_in(trace: &str) -> BTreeMap<&'static str, usize> {
    count_of(&CALLS, trace)
}

/// The same, for other calls.
pub fn count_of(calls: &[&'static str], trace: &str) -> BTreeMap<&'static str, usize> {
    let mut by_thread: BTreeMap<(&str, &'static str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if let Some(call) = calls.iter().find(|call| **call == name) {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
    }
    let mut calls = BTreeMap::new();
    for ((_, call), times) in by_thread {
        let most = calls.entry(call).or_default();
        *most = times.max(*most);
    }
    calls
}

/// `budget` of all (call, N): the same part of each call and of its Ns; if there are fewer, a long
/// run repeats them.
pub fn thinned(calls: &BTreeMap<&'static str, usize>, budget: usize) -> Vec<(&'static str, usize)> {
    let all: Vec<_> = calls
        .iter()
        .flat_map(|(call, times)| (1..=*times).map(move |n| (*call, n)))
        .collect();
    if all.len() <= budget {
        let rounds = if is_long() { budget / all.len() } else { 1 };
        return all.repeat(rounds);
    }
    (0..budget).map(|i| all[i * all.len() / budget]).collect()
}

/// The strace options that kill at the Nth of a call.
pub fn killing(call: &str, n: usize) -> [String; 2] {
    [
        format!("trace={call}"),
        format!("inject={call}:signal=KILL:when={n}"),
    ]
}
