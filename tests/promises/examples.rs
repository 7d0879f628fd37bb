//! The examples do what they say: each checks itself.

#[path = "../../examples/embed.rs"]
mod embed;
#[path = "../../examples/exact_copy.rs"]
mod exact_copy;
#[path = "../../examples/fan_out.rs"]
mod fan_out;
#[path = "../../examples/table.rs"]
mod table;
#[path = "../../examples/work_queue.rs"]
mod work_queue;

#[test]
fn embed_runs() {
    embed::main().expect("it runs");
}

#[test]
fn fan_out_runs() {
    fan_out::main().expect("it runs");
}

#[test]
fn an_exact_copy_goes_on_where_it_was() {
    exact_copy::main().expect("it runs");
}

#[test]
fn a_table_reads_its_own_changes() {
    table::main().expect("it runs");
}

#[test]
fn a_work_queue_does_all_its_jobs() {
    work_queue::main().expect("it runs");
}

#[test]
fn examples_are_short() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).expect("examples") {
        let path = entry.expect("entry").path();
        let lines = std::fs::read_to_string(&path)
            .expect("source")
            .lines()
            .count();
        assert!(lines < 40, "{} has {lines} lines", path.display());
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} examples found");
}
