//! No hostile byte gets further than an error: names, links, lengths, bombs, escapes, JSON.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/tally.rs"]
mod tally;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli::{Shell, run};
use mq::record::{
    BATCH_HEADER_LEN, BATCH_LENGTH_AT, BatchBuilder, BatchView, CRC_AT, LENGTH_FROM, MAGIC_AT,
};
use mq::types::{Compression, TimestampType, TopicName};
use tally::Tally;

const ATTRIBUTES_AT: usize = CRC_AT + 4;
const RECORD_COUNT_AT: usize = BATCH_HEADER_LEN - 4;

#[test]
fn names_are_refused_before_any_path_is_made() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let long = "x".repeat(250);
    for name in [
        "..",
        ".",
        "",
        "a/b",
        "../x",
        long.as_str(),
        "-dash",
        "a b",
        "a\u{1b}[2J",
        "ä",
        "a\n",
        "a\\b",
    ] {
        for (tool, args) in [
            ("mq-produce", vec!["--", name]),
            ("mq-topics", vec!["create", "--", name]),
            ("mq-topics", vec!["create", "good", "--", name]),
            ("mq-topics", vec!["create", "good", "--like", name]),
        ] {
            // An option's value may not begin with a dash there: clap says so, with 2 as well.
            Tally::case();
            let done = shell.run(tool, &args, b"x\n");
            assert_eq!(done.status, 2, "{tool} {args:?}: {}", done.err);
            assert_eq!(
                fs::read_dir(shell.dir()).expect("listed").count(),
                0,
                "{tool} {args:?} made a path"
            );
        }
    }
    Tally::case();
    assert!(
        TopicName::new("a\0b").is_err(),
        "NUL, which no command line can hold"
    );
    Tally::case();
    let longest = "x".repeat(249);
    shell.produce(&[&longest], b"fits\n");
    assert_eq!(shell.consume_text(&["-e", &longest]), "fits\n");
    Tally::case();
    let done = shell.run(
        "mq-consume",
        &["-e", "-g", "../../etc/x\u{1b}", &longest],
        b"",
    );
    assert_eq!(done.status, 0, "{}", done.err);
    let groups: Vec<String> = fs::read_dir(shell.store().join("groups"))
        .expect("listed")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(
        groups,
        ["..%2F..%2Fetc%2Fx%1B"].map(String::from).to_vec(),
        "a group's name is percent-encoded"
    );
}

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

/// A topic's first batch of two, on disk.
struct Planted {
    shell: Shell,
    log: PathBuf,
    bytes: Vec<u8>,
    first: usize,
}

impl Planted {
    fn new(first: &[u8]) -> Self {
        let shell = Shell::new();
        shell.produce(&["t"], first);
        let log = shell.logs().join("t-0/00000000000000000000.log");
        let first = fs::read(&log).expect("a log").len();
        shell.produce(&["t"], b"after\n");
        let bytes = fs::read(&log).expect("a log");
        Planted {
            shell,
            log,
            bytes,
            first,
        }
    }

    /// Puts another first batch there, as long as the first one.
    fn plant(&self, batch: &[u8]) {
        assert_eq!(batch.len(), self.first);
        let mut bytes = self.bytes.clone();
        bytes[..self.first].copy_from_slice(batch);
        fs::write(&self.log, bytes).expect("written");
    }

    fn refused(&self, what: &str) {
        for (tool, args) in [
            ("mq-consume", ["-e", "t"].as_slice()),
            ("mq-consume", &["-e", "-J", "t"]),
            ("mq-topics", &["verify", "--deep", "t"]),
        ] {
            Tally::case();
            // Bounded: a process that takes what the bytes claim dies here.
            let exe = self.shell.command(tool, args);
            let mut limited = Command::new("sh");
            limited
                .args(["-c", "ulimit -v 1500000; exec \"$@\"", "sh"])
                .arg(exe.get_program())
                .args(exe.get_args());
            limited
                .env("MQ_STORE", self.shell.store())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let done = run(limited, b"");
            assert_eq!(
                done.status,
                65,
                "{what}: {tool}: {}{}",
                done.err,
                done.text()
            );
            if tool == "mq-consume" {
                let named = done.err.contains("00000000000000000000.log")
                    || done.err.contains("verify t --deep");
                assert!(named, "{what}: names no file: {}", done.err);
                // A batch that was sealed so may give the records before the lie.
                assert!(
                    !done.text().contains("after"),
                    "{what}: went on: {:?}",
                    done.text()
                );
            } else {
                assert!(
                    done.text().contains("00000000000000000000.log"),
                    "{what}: names no file: {}",
                    done.text()
                );
            }
        }
    }
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn lengths_and_counts_that_lie_are_damage() {
    let _tally = Tally::start();
    let planted = Planted::new(b"some words\nmore of them\n");
    let sound = planted.bytes[..planted.first].to_vec();
    type Lie = fn(&mut Vec<u8>);
    let lies: [(&str, Lie); 9] = [
        ("a batch of 2 GiB", |b| {
            b[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        }),
        ("a batch of -1", |b| {
            b[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&(-1_i32).to_be_bytes());
        }),
        ("a batch of 0", |b| {
            b[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&0_i32.to_be_bytes());
        }),
        ("magic 9", |b| b[MAGIC_AT] = 9),
        ("2^31 - 1 records", |b| {
            b[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        }),
        ("-1 records", |b| {
            b[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&(-1_i32).to_be_bytes());
        }),
        ("a varint of 11 bytes", |b| {
            b[BATCH_HEADER_LEN..BATCH_HEADER_LEN + 11].fill(0xff);
        }),
        ("bytes after the last record", |b| {
            b[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&1_i32.to_be_bytes());
            // lastOffsetDelta agrees with the count.
            b[ATTRIBUTES_AT + 2..ATTRIBUTES_AT + 6].copy_from_slice(&0_i32.to_be_bytes());
        }),
        ("an unknown codec", |b| b[ATTRIBUTES_AT + 1] = 7),
    ];
    for (what, lie) in lies {
        let mut batch = sound.clone();
        lie(&mut batch);
        seal(&mut batch);
        planted.plant(&batch);
        planted.refused(what);
    }
    Tally::case();
    planted.plant(&sound);
    assert_eq!(
        planted.shell.consume_text(&["-e", "t"]),
        "some words\nmore of them\nafter\n"
    );
}

/// A batch of one record, of `len` bytes, uncompressed: the value that makes it so long.
fn value_for(len: usize) -> Vec<u8> {
    let built = |n: usize| {
        let mut builder = BatchBuilder::new();
        builder.append_value(1, &vec![b'x'; n]).expect("fits");
        builder
            .finish(Compression::None, TimestampType::CreateTime)
            .expect("built")
            .len()
    };
    let found = (len.saturating_sub(90)..len).find(|n| built(*n) == len);
    vec![b'x'; found.expect("a value that fits")]
}

#[test]
fn a_decompression_bomb_is_refused() {
    let _tally = Tally::start();
    for codec in [Compression::Gzip, Compression::Zstd, Compression::Lz4] {
        let bomb = bomb(codec, 2 << 30);
        let mut value = value_for(bomb.len());
        value.push(b'\n');
        let shell = Shell::new();
        shell.topics(&["create", "t", "-c", "max.message.bytes=100000000"]);
        shell.produce(&["-D", "\\n", "t"], &value);
        let log = shell.logs().join("t-0/00000000000000000000.log");
        let first = fs::read(&log).expect("a log").len();
        shell.produce(&["t"], b"after\n");
        let bytes = fs::read(&log).expect("a log");
        assert_eq!(first, bomb.len(), "the bomb takes the first batch's place");
        let planted = Planted {
            shell,
            log,
            bytes,
            first,
        };
        planted.plant(&bomb);
        planted.refused(&format!("a bomb of {} bytes with {codec:?}", bomb.len()));
    }
}

/// A sealed batch whose records are `len` zeros once decompressed.
fn bomb(codec: Compression, len: u64) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut builder = BatchBuilder::new();
    builder.append_value(1, b"x").expect("fits");
    let mut batch = builder
        .finish(Compression::None, TimestampType::CreateTime)
        .expect("built");
    batch.truncate(BATCH_HEADER_LEN);
    let mut zeros = std::io::repeat(0).take(len);
    match codec {
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(&mut batch, flate2::Compression::fast());
            std::io::copy(&mut zeros, &mut out).expect("compressed");
            out.finish().expect("compressed");
        }
        Compression::Zstd => {
            zstd::stream::copy_encode(&mut zeros, &mut batch, 1).expect("compressed");
        }
        _ => {
            let mut out = lz4_flex::frame::FrameEncoder::new(&mut batch);
            let block = vec![0; 1 << 20];
            for _ in 0..len >> 20 {
                out.write_all(&block).expect("compressed");
            }
            out.finish().expect("compressed");
        }
    }
    let bits = match codec {
        Compression::Gzip => 1,
        Compression::Zstd => 4,
        _ => 3,
    };
    batch[ATTRIBUTES_AT + 1] = bits;
    let claimed = (batch.len() - LENGTH_FROM) as i32;
    batch[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&claimed.to_be_bytes());
    seal(&mut batch);
    BatchView::parse(&batch)
        .expect("a batch")
        .check_crc()
        .expect("sealed");
    batch
}

#[test]
fn a_terminal_gets_no_controls_and_a_pipe_gets_all() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let nasty =
        "\u{1b}[2J|\u{1b}]0;title\u{7}|\u{9b}31m|\u{202e}evil|\u{8}|tab\there|ü\n".as_bytes();
    let bytes = [nasty, b"\x9b\x90\x85|\xff\n"].concat();
    shell.produce(&["t"], &bytes);
    Tally::case();
    assert_eq!(shell.consume(&["-e", "t"]), bytes);
    if Command::new("script").arg("--version").output().is_err() {
        println!("hostile: skipped: a real terminal, for there is no script(1)");
        return;
    }
    let on_terminal = |tool: &str, args: &str| {
        let exe = shell.command(tool, &[]);
        let line = format!("{} {args}", exe.get_program().to_string_lossy());
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("MQ_STORE", shell.store());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        run(command, b"").text()
    };
    let controls = |text: &str| {
        text.chars().any(|c| {
            (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
                || ('\u{202a}'..='\u{202e}').contains(&c)
        })
    };
    for args in ["-e t", "-e -J t", "-e -f '%v%v{escape}\\n' t", "-e -0 t"] {
        Tally::case();
        let seen = on_terminal("mq-consume", args);
        assert!(!controls(&seen), "{args}: {seen:?}");
        assert!(
            seen.contains("evil") && seen.contains('ü'),
            "{args}: {seen:?}"
        );
    }
    Tally::case();
    let raw = on_terminal("mq-consume", "-e --raw t");
    assert!(raw.contains("\u{1b}[2J"), "{raw:?}");
    Tally::case();
    let told = on_terminal("mq-consume", "-e \"$(printf 'x\\033[2Jx')\"");
    assert!(told.contains("mq-consume") && !controls(&told), "{told:?}");
}

#[test]
fn json_of_the_wrong_form_names_its_line() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.topics(&["create", "t", "-p", "2"]);
    let deep = format!(
        r#"{{"value":"x","headers":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let deeper = format!(r#"{{"value":{}"#, r#"{"a":"#.repeat(100_000));
    let number = format!(r#"{{"value":"x","timestamp":{}}}"#, "9".repeat(10_000));
    let bad: Vec<&[u8]> = vec![
        b"1",
        b"[]",
        b"null",
        b"\"x\"",
        b"{}",
        b"",
        b"{",
        b"nonsense",
        br#"{"key":"k"}"#,
        br#"{"value":1}"#,
        br#"{"value":["x"]}"#,
        br#"{"value":{"base64":"!"}}"#,
        br#"{"value":{"base64":"YQ==","more":1}}"#,
        br#"{"value":"x","key":true}"#,
        br#"{"value":"x","unknown":1}"#,
        br#"{"value":"x","timestamp":"now"}"#,
        br#"{"value":"x","timestamp":1e400}"#,
        br#"{"value":"x","timestamp":1.5}"#,
        br#"{"value":"x","timestamp":99999999999999999999}"#,
        br#"{"value":"x","headers":{"a":"b"}}"#,
        br#"{"value":"x","headers":[["a"]]}"#,
        br#"{"value":"x","headers":[["a","b","c"]]}"#,
        br#"{"value":"x","headers":[[null,"b"]]}"#,
        br#"{"value":"x"} y"#,
        br#"{"value":"x"}{"value":"y"}"#,
        b"{\"value\":\"\xff\"}",
        br#"{"value":"\ud800"}"#,
        deep.as_bytes(),
        deeper.as_bytes(),
        number.as_bytes(),
    ];
    let count = || shell.consume_text(&["-e", "t"]).lines().count();
    for case in &bad {
        Tally::case();
        let shown = String::from_utf8_lossy(&case[..case.len().min(80)]).into_owned();
        let before = count();
        let input = [
            b"{\"value\":\"ok\"}\n{\"value\":\"ok\"}\n".as_slice(),
            case,
            b"\n{\"value\":\"no\"}\n",
        ]
        .concat();
        let done = shell.run("mq-produce", &["-J", "t"], &input);
        assert_eq!(done.status, 1, "{shown}: {}", done.err);
        assert!(
            done.err.contains("line 3 of standard input"),
            "{shown}: {}",
            done.err
        );
        assert!(
            done.err.len() < 2000,
            "{shown}: tells {} bytes",
            done.err.len()
        );
        assert_eq!(count(), before + 2, "{shown}");
    }
    Tally::case();
    let before = count();
    let input: Vec<u8> = bad
        .iter()
        .flat_map(|case| [case, b"\n{\"value\":\"ok\"}\n".as_slice()].concat())
        .collect();
    let done = shell.run("mq-produce", &["-J", "--on-error", "skip", "t"], &input);
    assert_eq!(done.status, 1, "{}", done.err);
    let told = format!("{} records were skipped", bad.len());
    assert!(done.err.contains(&told), "{}", done.err);
    assert_eq!(count(), before + bad.len());
    Tally::case();
    let done = shell.run(
        "mq-produce",
        &["-J", "--keep-partition", "t"],
        br#"{"value":"x","partition":7}"#,
    );
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(
        done.err.contains("line 1 of standard input"),
        "{}",
        done.err
    );
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
