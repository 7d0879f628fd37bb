//! The time from a line written into a producer's stdin to the same line on a follower's stdout,
//! microseconds: `cargo bench --bench latency -- STORE TOPIC`. Prints `p50 FIGURE LIMIT` and `p99
//! FIGURE LIMIT`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let [store, topic] = args.as_slice() else {
        eprintln!("latency STORE TOPIC");
        return ExitCode::from(2);
    };
    let mut follower = Command::new(env!("CARGO_BIN_EXE_mq-consume"))
        .args(["--store", store, "-o", "end", topic])
        .stdout(Stdio::piped())
        .spawn()
        .expect("mq-consume");
    let mut producer = Command::new(env!("CARGO_BIN_EXE_mq-produce"))
        .args(["--store", store, topic])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mq-produce");
    let mut input = producer.stdin.take().expect("stdin");
    let mut output = BufReader::new(follower.stdout.take().expect("stdout"));
    std::thread::sleep(Duration::from_millis(500));
    let mut figures = Vec::with_capacity(ROUNDS);
    let mut line = String::new();
    for round in 0..ROUNDS {
        let started = Instant::now();
        input
            .write_all(format!("{round}\n").as_bytes())
            .expect("write");
        line.clear();
        output.read_line(&mut line).expect("read");
        figures.push(started.elapsed().as_micros());
        assert_eq!(line.trim_end(), round.to_string());
        if round % 10 == 0 {
            // Sometimes both processes go to sleep, as they would between lines that a person
            // types.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    drop(input);
    producer.wait().expect("wait");
    follower.kill().expect("kill");
    follower.wait().expect("wait");
    figures.sort_unstable();
    println!("p50 {} 100", figures[figures.len() / 2]);
    println!("p99 {} 1000", figures[figures.len() * 99 / 100]);
    ExitCode::SUCCESS
}
