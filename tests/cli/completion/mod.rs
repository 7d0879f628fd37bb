//! Completion of command lines: what a tool answers a shell, and what real shells make of it.

mod answers;
mod shells;

use crate::cli::Shell;

/// A store with topics, groups and three brokers.
fn populated() -> Shell {
    let shell = Shell::new();
    shell.topics(&["create", "orders", "payments", "a.b-c", "-p", "2"]);
    for group in ["billing", "audit"] {
        shell.ok("mq-groups", &["commit", group, "orders:0=0"], b"");
    }
    // As a broker that was started once leaves them.
    for id in [1, 12] {
        std::fs::create_dir(shell.store().join(format!("brokers/{id}"))).expect("a broker");
    }
    shell
}
