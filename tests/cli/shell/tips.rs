//! Command lines that do not do what they seem to say, and what is said of them.

use super::outputs::bash;
use crate::cli::Shell;
use crate::tally::Tally;

/// Commands that are carried out, and noted; -q silences the note, not the command.
#[test]
fn what_is_taken_literally_is_noted() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    shell.consume(&["-e", "-g", "g", "t"]);
    for (tool, args, out, note) in [
        (
            "mq-produce",
            &["-H", "a: b", "-o", "%h[a: b]", "t"][..],
            "",
            "header 'a: b' has no =, so its value is null: say -H 'a=b'",
        ),
        (
            "mq-consume",
            &["-e", "-c", "1", "-f", "%{file}\\n", "t"],
            "{file}\n",
            "%{file} stands for the text {file}, since %{ is a literal brace; only mq-produce -k and -H",
        ),
        (
            "mq-consume",
            &["-e", "-c", "1", "-f", "%k%{json}\\n", "t"],
            "{json}\n",
            "a modifier follows a field: %v{json}",
        ),
        (
            "mq-produce",
            &["-o", "%{line}\\n", "t"],
            "{line}\n",
            "%{line} stands for the text {line}",
        ),
        (
            "mq-groups",
            &["reset", "g", "--to", "+0", "--yes"],
            "",
            "+0 counts from the log start; --by 0 moves forward",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"x\n");
        assert_eq!(done.status, 0, "{args:?}: {}", done.err);
        assert!(done.text().starts_with(out), "{args:?}: {}", done.text());
        assert!(done.err.contains(note), "{args:?}: {}", done.err);
        let quiet = shell.run(tool, &[args, &["-q"]].concat(), b"x\n");
        assert_eq!((quiet.status, &*quiet.err), (0, ""), "{args:?}");
    }
    for (tool, args) in [
        ("mq-produce", &["-H", "a=b:c", "t"][..]),
        ("mq-consume", &["-e", "-f", "%v{json} %%{json}\\n", "t"]),
        ("mq-topics", &["verify", "--deep", "t"]),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"x\n");
        assert_eq!((done.status, &*done.err), (0, ""), "{args:?}");
    }
}

/// Records cannot be taken back, so a compressed file is not divided into lines unless that is said.
#[test]
fn a_compressed_file_is_not_read_as_lines() {
    let _tally = Tally::start();
    let shell = Shell::new();
    let files = [
        ("a.gz", &b"\x1f\x8b\x08\0rest\n"[..], "gzip -dc"),
        ("a.zst", b"\x28\xb5\x2f\xfdrest\n", "zstd -dc"),
        ("a.xz", b"\xfd7zXZ\0rest\n", "xz -dc"),
        ("a.bz2", b"BZh91AY&SYrest\n", "bzip2 -dc"),
    ];
    for (name, bytes, command) in files {
        std::fs::write(shell.dir().join(name), bytes).expect("written");
        for args in [
            &["t", name][..],
            &["t", "a.txt", name],
            &["-K", "=", "t", name],
        ] {
            Tally::case();
            std::fs::write(shell.dir().join("a.txt"), "a\n").expect("written");
            let done = shell.run("mq-produce", args, b"");
            assert_eq!(done.status, 2, "{args:?}: {}", done.err);
            let cure = format!("'{command} {name} | mq-produce t' stores its lines");
            assert!(done.err.contains(&cure), "{args:?}: {}", done.err);
            assert!(!shell.store().exists(), "{args:?}");
        }
    }
    for (topic, how) in [("whole", "--whole"), ("ended", "-D\\n"), ("f", "-f%v\\n")] {
        for (name, bytes, _) in files {
            Tally::case();
            shell.produce(&[how, topic, name], b"");
            let stored = shell.consume(&["-e", "-f", "%v", "--tail", "1", topic]);
            let cut = bytes.strip_suffix(b"\n").expect("a line");
            let whole = if how == "--whole" { bytes } else { cut };
            assert_eq!(stored, whole, "{how} {name}");
        }
    }
    Tally::case();
    shell.produce(&["-0", "nul", "a.gz", "a.xz"], b"");
    // Only regular files are inspected: what a pipe gave would be gone.
    Tally::case();
    shell.produce(&["pipe"], files[0].1);
    assert_eq!(shell.consume(&["-e", "pipe"]), files[0].1);
}

/// What is refused, and what stands for it.
#[test]
fn what_is_refused_names_another_way() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    shell.consume(&["-e", "-g", "g", "t"]);
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let log = log.to_str().expect("text");
    let of_file = format!("mq-topics dump --file {log}");
    for (tool, args, status, said) in [
        (
            "mq-produce",
            &["t", "two words"][..],
            1,
            "to send text: echo 'two words' | mq-produce t",
        ),
        (
            "mq-produce",
            &["--partitions", "3", "t"],
            2,
            "  tip: --create-partitions N",
        ),
        (
            "mq-produce",
            &["-T", "-o", "%o", "t"],
            2,
            "\n\n  tip: -o '%v\\n' prints each value as -T does",
        ),
        (
            "mq-consume",
            &["--tail", "2", "-o", "1", "t"],
            2,
            "\n\n  tip: --tail N begins with the last N records, -o at a point",
        ),
        (
            "mq-consume",
            &["-g", "g", "-p", "0", "t"],
            2,
            "\n\n  tip: the members of a group share all partitions",
        ),
        (
            "mq-consume",
            &["t", "--exec", "cat"],
            2,
            "\n\n  tip: this option is for a group: add -g GROUP",
        ),
        (
            "mq-consume",
            &["t", "--batch", "2"],
            2,
            "\n\n  tip: this option is for a command that handles records",
        ),
        ("mq-consume", &["-o", "10-15", "t"], 2, "a range is 10:15"),
        (
            "mq-consume",
            &["-o", "-10min", "t"],
            2,
            "a time begins with @: @-10m",
        ),
        (
            "mq-consume",
            &["-e", "-o", "1700000000000", "t"],
            1,
            "a time begins with @: @1700000000000",
        ),
        (
            "mq-consume",
            &["-e", "-o", "17000000000", "t"],
            1,
            "use a number from 0 to 1",
        ),
        (
            "mq-topics",
            &["offsets", "t", "--at", "1700000000"],
            1,
            "a time begins with @: @1700000000",
        ),
        ("mq-topics", &["dump", log], 2, &of_file),
        (
            "mq-topics",
            &["purge", "t"],
            2,
            "'trim TOPIC --to end' removes all records",
        ),
        (
            "mq-groups",
            &["delete-offsets", "g", "t"],
            2,
            "topics are named with --topic",
        ),
        (
            "mq-groups",
            &["reset", "g", "--to", "earliest"],
            2,
            "that is start here",
        ),
        (
            "mq-groups",
            &["reset", "g", "--from-file", "-"],
            2,
            "must be confirmed, and standard input has the rows",
        ),
        (
            "mq-groups",
            &["reset", "g", "--to", "start"],
            2,
            "moving committed offsets must be confirmed, and standard input is not a terminal",
        ),
        (
            "mq-groups",
            &["commit", "g", "t:0=1", "--yes"],
            2,
            "this command does not ask",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        assert!(done.err.contains(said), "{args:?}: {}", done.err);
    }
    // Taken word for word, the cures work.
    for script in [
        "mq-topics create t.new --like t && mq-topics delete t --yes && mq-topics create t --like t.new \
         && mq-topics delete t.new --yes",
        "echo k=v | mq-produce -K= t && [ $(mq-consume -e -K= t) = k=v ]",
        "mq-topics alter t -p 3 && mq-topics describe t:2",
    ] {
        Tally::case();
        let done = bash(&shell, script);
        assert_eq!(done.status, 0, "{script}: {}", done.err);
    }
}

/// What a newcomer types by habit of other tools.
#[test]
fn flags_of_other_tools_meet_a_tip() {
    let _tally = Tally::start();
    let shell = Shell::new();
    for (tool, args, said) in [
        (
            "mq-broker",
            &["stop", "--id", "1"][..],
            &["unexpected argument '--id' found", "mq-broker stop 1"][..],
        ),
        ("mq-broker", &["drain", "--id", "1"], &["mq-broker drain 1"]),
        ("mq-broker", &["start", "1"], &["mq-broker start --id 1"]),
        ("mq-groups", &["reset", "g", "-t", "t"], &["--topic orders"]),
        ("mq-groups", &["peek", "g", "-t", "t"], &["--topic orders"]),
        (
            "mq-groups",
            &["delete-offsets", "g", "-t", "t"],
            &["--topic orders"],
        ),
        (
            "mq-groups",
            &["reset", "g", "-o", "5"],
            &["tip: --to N", "--to 5"],
        ),
        (
            "mq-consume",
            &["-F", "kv"],
            &["followed without an option", "--header NAME=VALUE"],
        ),
        ("mq-consume", &["--group-id", "x", "t"], &["tip: -g GROUP"]),
        ("mq-consume", &["--max", "3", "t"], &["tip: -c N"]),
        ("mq-consume", &["-m", "3", "t"], &["tip: -c N"]),
        ("mq-topics", &["offsets", "-p", "0", "t"], &["orders:0"]),
        (
            "mq-consume",
            &["-g", "g", "t", "--exec", "true", "--retries", "1k"],
            &["'--retries <N>': expected a whole number from 0, in digits (1000, not 1k)"],
        ),
        (
            "mq-consume",
            &["-g", "g", "t", "--exec", "true", "--retries", "-1"],
            &["'--retries <N>': expected a whole number from 0, in digits (1000, not 1k)"],
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, 2, "{tool} {args:?}: {}", done.err);
        for part in said {
            assert!(done.err.contains(part), "{tool} {args:?}: {}", done.err);
        }
    }
    Tally::case();
    let kcats = b"{\"topic\":\"t\",\"ts\":5,\"payload\":\"v\"}\n";
    let done = shell.run("mq-produce", &["-J", "t"], kcats);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("--input-format kcat"), "{}", done.err);
}

/// Consent is required only for a change that there is.
#[test]
fn what_is_not_there_needs_no_consent() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    shell.ok("mq-groups", &["commit", "g", "t:0=1"], b"");
    shell.ok("mq-groups", &["commit", "other", "t:0=0"], b"");
    for (tool, args, status, said) in [
        ("mq-topics", &["delete", "z9", "--if-exists"][..], 0, ""),
        ("mq-topics", &["delete", "z9"], 1, "z9"),
        ("mq-topics", &["delete", "t"], 2, "add --yes"),
        ("mq-groups", &["delete", "z9", "--if-exists"], 0, ""),
        ("mq-groups", &["delete", "z9*", "--if-exists"], 0, ""),
        ("mq-groups", &["delete", "z9"], 1, "no group 'z9'"),
        ("mq-groups", &["delete", "g"], 2, "add --yes"),
        ("mq-groups", &["clone", "g", "new"], 0, ""),
        ("mq-groups", &["clone", "g", "other"], 2, "add --yes"),
        (
            "mq-groups",
            &["undo", "nosuch"],
            1,
            "there is no group 'nosuch'",
        ),
    ] {
        Tally::case();
        let done = shell.run(tool, args, b"");
        assert_eq!(done.status, status, "{args:?}: {}", done.err);
        assert!(done.err.contains(said), "{args:?}: {}", done.err);
        assert!(
            status == 2 || !done.err.contains("confirmed"),
            "{}",
            done.err
        );
    }
    assert_eq!(shell.consume_text(&["-e", "t"]), "a\n");
    let groups = shell.ok("mq-groups", &["list", "--format", "tsv"], b"");
    assert_eq!(String::from_utf8_lossy(&groups).lines().count(), 3);
}

/// The offset that is named can be read, wherever the damage is; none is named if there is none.
#[test]
fn the_offset_behind_damage_can_be_read() {
    let _tally = Tally::start();
    // So long that two of them do not fit into a small segment.
    let line = |letter: &str| letter.repeat(900) + "\n";
    for (byte, configs, behind) in [
        // A value, the checksum, the magic, the length, the base offset, the epoch.
        (66, &[][..], Some("2")),
        (17, &[], Some("2")),
        (66, &["-c", "segment.bytes=1024"], Some("2")),
        (16, &[], None),
        (11, &[], None),
        (7, &[], None),
        (12, &[], None),
    ] {
        Tally::case();
        let shell = Shell::new();
        shell.ok("mq-topics", &[&["create", "t"], configs].concat(), b"");
        let segments = || {
            let files = std::fs::read_dir(shell.logs().join("t-0")).expect("listed");
            let paths = files.map(|file| file.expect("an entry").path());
            let mut logs: Vec<_> = paths
                .filter(|path| path.extension().is_some_and(|end| end == "log"))
                .collect();
            logs.sort();
            logs
        };
        shell.produce(&["t"], line("a").as_bytes());
        let first = std::fs::metadata(&segments()[0]).expect("a log").len() as usize;
        shell.produce(&["t"], line("b").as_bytes());
        shell.produce(&["t"], line("c").as_bytes());
        let (log, begins) = match &segments()[..] {
            [only] => (only.clone(), first),
            more => (more[1].clone(), 0),
        };
        let mut bytes = std::fs::read(&log).expect("a log");
        bytes[begins + byte] ^= 1;
        std::fs::write(&log, bytes).expect("damaged");
        let done = shell.run("mq-consume", &["-e", "t"], b"");
        assert_eq!((done.status, done.text()), (65, line("a")), "{byte}");
        let (_, named) = done.err.split_once(" -o ").expect("a command");
        let (named, _) = named.split_once(' ').expect("an offset");
        if let Some(behind) = behind {
            assert_eq!(named, behind, "{byte}: {}", done.err);
        }
        if named != "N" {
            let read = shell.consume_text(&["-e", "-p", "0", "-o", named, "t"]);
            assert_eq!(read, line("c"), "{byte}");
        }
    }
    // Damage in the last batch.
    Tally::case();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).expect("a log");
    bytes[66] ^= 1;
    std::fs::write(&log, bytes).expect("damaged");
    let done = shell.run("mq-consume", &["-e", "t"], b"");
    assert!(done.err.contains("from an offset N there"), "{}", done.err);
}

/// A repair also cuts what is sound behind the damage: that comes first, and the topic is named.
#[test]
fn damage_is_saved_from_before_it_is_cut() {
    let _tally = Tally::start();
    let shell = Shell::new();
    shell.produce(&["t"], b"a\n");
    let log = shell.logs().join("t-0/00000000000000000000.log");
    let first = std::fs::metadata(&log).expect("a log").len();
    shell.produce(&["t"], b"b\n");
    shell.produce(&["t"], b"c\n");
    shell.ok("mq-groups", &["commit", "g", "t:0=1"], b"");
    let mut bytes = std::fs::read(&log).expect("a log");
    bytes[first as usize + 66] ^= 1;
    std::fs::write(&log, bytes).expect("damaged");

    Tally::case();
    let done = shell.run("mq-consume", &["-e", "t"], b"");
    let save = "from offset 2 on: 'mq-consume -J -e -p 0 -o 2 t > FILE'";
    let cut = "'mq-topics verify --repair truncate t'";
    let places = (done.err.find(save), done.err.find(cut));
    assert!(places.0.is_some() && places.0 < places.1, "{}", done.err);
    let args = ["-J", "-e", "-p", "0", "-o", "2", "t"];
    assert!(shell.consume_text(&args).contains("\"value\":\"c\""));

    Tally::case();
    let done = shell.run("mq-groups", &["skip", "g", "t:0", "--yes"], b"");
    assert_ne!(done.status, 0);
    let cure = "'mq-groups reset g --to N --topic t:0'";
    assert!(done.err.contains(cure), "{}", done.err);
    shell.ok(
        "mq-groups",
        &["reset", "g", "--to", "2", "--topic", "t:0", "--yes"],
        b"",
    );
    assert_eq!(shell.consume_text(&["-e", "-g", "g", "t"]), "c\n");
}
