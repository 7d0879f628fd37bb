//! Real shells: what stands on the line once a tab was typed. bash and zsh run on a terminal, fish
//! says itself what it would put in.

use std::path::Path;
use std::process::{Command, Stdio};

use super::populated;
use crate::cli::{Running, Shell, run};

/// A directory with the tools, and one with their scripts.
fn places(shell: &Shell) -> (String, String) {
    let tool = shell.command("mq-topics", &[]);
    let tools = Path::new(tool.get_program()).parent().expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    (
        format!("{}:{path}", tools.display()),
        scripts.display().to_string(),
    )
}

/// Whether there is such a shell; says so where there is not. CI has all.
fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let there = command.status().is_ok();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "CI needs {program}"
    );
    if !there {
        println!("completion: skipped: there is no {program} here");
    }
    there
}

/// A store whose names need quotes, and files.
fn furnished() -> Shell {
    let shell = populated();
    for group in ["it's $HOME", "x$(touch pwned);`touch pwned`"] {
        shell.ok("mq-groups", &["commit", group, "orders:0=0"], b"");
    }
    shell.topics(&["create", "stock.in", "stock.out"]);
    std::fs::create_dir(shell.dir().join("some dir")).expect("a directory");
    std::fs::File::create(shell.dir().join("a file.log")).expect("a file");
    let other = shell.dir().join("other");
    let other = other.to_str().expect("text");
    shell.ok("mq-topics", &["--store", other, "create", "elsewhere"], b"");
    shell
}

/// Tools, what is typed (a tab where `\t` stands), and the arguments that the shell makes of it.
const TYPED: [(&str, &str, &str); 22] = [
    ("mq-topics", "desc\t.", "<describe><.>"),
    ("mq-topics", "describe or\t.", "<describe><orders><.>"),
    // Two begin so: as far as they are the same, then the one that is meant.
    ("mq-topics", "describe st\to\t.", "<describe><stock.out><.>"),
    (
        "mq-topics",
        "describe payments or\t.",
        "<describe><payments><orders><.>",
    ),
    ("mq-topics", "describe 'or\t.", "<describe><orders><.>"),
    ("mq-topics", "describe zz\t.", "<describe><zz.>"),
    (
        "mq-topics",
        "describe -- or\t.",
        "<describe><--><orders><.>",
    ),
    (
        "mq-topics",
        "--store other describe e\t.",
        "<--store><other><describe><elsewhere><.>",
    ),
    (
        "mq-topics",
        "describe --store=other e\t.",
        "<describe><--store=other><elsewhere><.>",
    ),
    (
        "mq-topics",
        "describe orders:1\t.",
        "<describe><orders:1><.>",
    ),
    (
        "mq-topics",
        "alter t -c segment.by\t1",
        "<alter><t><-c><segment.bytes=1>",
    ),
    (
        "mq-topics",
        "alter t -c compression.type=z\t.",
        "<alter><t><-c><compression.type=zstd><.>",
    ),
    (
        "mq-topics",
        "alter t --config=compression.type=z\t.",
        "<alter><t><--config=compression.type=zstd><.>",
    ),
    (
        "mq-groups",
        "skip billing or\t1",
        "<skip><billing><orders:1>",
    ),
    ("mq-groups", "describe it\t.", "<describe><it's $HOME><.>"),
    ("mq-groups", "describe \"it\t.", "<describe><it's $HOME><.>"),
    (
        "mq-groups",
        "describe x\t.",
        "<describe><x$(touch pwned);`touch pwned`><.>",
    ),
    (
        "mq-broker",
        "init --group daem\t.",
        "<init><--group><daemon><.>",
    ),
    (
        "mq-consume",
        "-g g t --exec basena\t .",
        "<-g><g><t><--exec><basename><.>",
    ),
    ("mq-produce", "-z zs\t.", "<-z><zstd><.>"),
    ("mq-produce", "orders a\\ f\t.", "<orders><a file.log><.>"),
    ("mq-topics", "list --store=ot\tx", "<list><--store=other/x>"),
];

/// Types each line into an interactive shell, in which `show` stands in for the tools. `setup` is
/// what it reads first.
fn check(program: &str, start: &str, setup: impl Fn(&str) -> String) {
    if !has(program) || !has("script") {
        return;
    }
    let shell = furnished();
    let (path, _) = places(&shell);
    for tool in [
        "mq-topics",
        "mq-groups",
        "mq-produce",
        "mq-broker",
        "mq-consume",
    ] {
        let rc = format!("{}\nPS1='> '\n{SHOW}\necho REA''DY\n", setup(tool));
        std::fs::write(shell.dir().join(".zshrc"), rc).expect("written");
        let mut command = Command::new("script");
        command
            .args(["-qec", start, "/dev/null"])
            .env("PATH", &path)
            .env("MQ_STORE", shell.store())
            .env("HOME", shell.dir())
            .env("SHELL", "/bin/bash")
            .env("TERM", "dumb")
            .env_remove("MQ_COMPLETE")
            .env_remove("ZDOTDIR")
            .current_dir(shell.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut session = Running::of(command.spawn().expect("script"));
        session.says("READY");
        for (number, (_, typed, args)) in (1..).zip(TYPED.iter().filter(|case| case.0 == tool)) {
            session.feed(format!("show {typed}\n").as_bytes());
            session.says(&format!("GOT{number}{args}END"));
        }
        session.feed(b"exit\n");
        session.end();
    }
    let left = shell.dir().join("pwned");
    assert!(!left.exists(), "a group's name was run by {program}");
}

/// Tells which arguments a line has.
const SHOW: &str = r#"show() { n=$((n+1)); printf "GOT$n"; printf "<%s>" "$@"; echo END; }"#;

#[test]
fn bash_puts_in_what_is_meant() {
    let (_, scripts) = places(&Shell::new());
    check("bash", "exec bash --noprofile --rcfile .zshrc -i", |tool| {
        let function = tool.replace('-', "_");
        format!(
            "bind 'set bell-style none'\nbind 'set enable-bracketed-paste off'\n\
             source {scripts}/bash/{tool}\ncomplete -o nosort -F _{function} show"
        )
    });
}

#[test]
fn zsh_puts_in_what_is_meant() {
    let (_, scripts) = places(&Shell::new());
    check("zsh", "exec zsh -d -i", |tool| {
        format!(
            "unsetopt beep\nfpath=({scripts}/zsh $fpath)\nautoload -Uz compinit\n\
             compinit -u -D\ncompdef _{tool} show"
        )
    });
}

#[test]
fn fish_puts_in_what_is_meant() {
    if !has("fish") {
        return;
    }
    let shell = furnished();
    let (path, scripts) = places(&shell);
    let completed = |tool: &str, line: &str| -> Vec<String> {
        let mut command = Command::new("fish");
        let ask = format!("source {scripts}/fish/{tool}.fish; complete --escape -C $argv[1]");
        command
            .args(["--no-config", "-c", &ask, &format!("{tool} {line}")])
            .env("PATH", &path)
            .env("MQ_STORE", shell.store())
            .env("HOME", shell.dir())
            .env_remove("MQ_COMPLETE")
            .current_dir(shell.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let done = run(command, b"");
        assert_eq!(done.err, "", "{line}");
        done.text().lines().map(str::to_owned).collect()
    };
    for (tool, line, wanted) in [
        (
            "mq-topics",
            "desc",
            &[
                "describe\tShow topics: leaders, replicas, offsets, sizes, and the configs that are set",
            ][..],
        ),
        (
            "mq-topics",
            "describe ",
            &["a.b-c", "orders", "payments", "stock.in", "stock.out"],
        ),
        ("mq-topics", "describe 'or", &["orders"]),
        ("mq-topics", "describe zz", &[]),
        ("mq-topics", "--store other describe ", &["elsewhere"]),
        ("mq-topics", "describe --store=other ", &["elsewhere"]),
        ("mq-topics", "describe orders:", &["orders:0", "orders:1"]),
        (
            "mq-topics",
            "alter t -c segment.by",
            &["segment.bytes=\t1024 to 2147483647 bytes"],
        ),
        (
            "mq-topics",
            "alter t -c compression.type=z",
            &["compression.type=zstd"],
        ),
        (
            "mq-topics",
            "alter t --config=compression.type=z",
            &["--config=compression.type=zstd"],
        ),
        ("mq-groups", "describe it", &[r"it\'s\ \$HOME"]),
        (
            "mq-groups",
            "describe x",
            &[r"x\$\(touch\ pwned\)\;`touch\ pwned`"],
        ),
        ("mq-produce", "-z zs", &["zstd"]),
    ] {
        let got = completed(tool, line);
        // An open quote is closed.
        let got: Vec<&str> = got.iter().map(|one| one.trim_matches('\'')).collect();
        assert_eq!(got, wanted, "{tool} {line}");
    }
    for (tool, line, wanted) in [
        ("mq-produce", "orders a", r"a\ file.log"),
        ("mq-topics", "list --store so", r"some\ dir/"),
        ("mq-topics", "list --store=ot", "--store=other/"),
        ("mq-consume", "-g g t --exec cat", "cat"),
        ("mq-broker", "init --group da", "daemon"),
    ] {
        let got = completed(tool, line);
        let found = got.iter().any(|one| one.split('\t').next() == Some(wanted));
        assert!(found, "{tool} {line}: {got:?}");
    }
    assert!(
        !shell.dir().join("pwned").exists(),
        "a group's name was run by fish"
    );
    // Where there is no topic, no option is offered in its place.
    let none = Shell::new();
    let store = none.store().display().to_string();
    for (tool, line) in [("mq-topics", "describe "), ("mq-consume", "-e ")] {
        let tool_line = format!("--store {store} {line}");
        assert_eq!(completed(tool, &tool_line), [""; 0], "{tool} {line}");
        let options = completed(tool, &format!("{tool_line}--st"));
        assert_eq!(options.len(), 1, "{tool} {line}: {options:?}");
    }
}

/// A command may be in several directories, and built in, too.
#[test]
fn bash_lists_each_command_once() {
    if !has("bash") {
        return;
    }
    let shell = Shell::new();
    let (path, scripts) = places(&shell);
    let mut dirs = Vec::new();
    for dir in ["one", "two"] {
        let dir = shell.dir().join(dir);
        std::fs::create_dir(&dir).expect("a directory");
        let tool = dir.join("ecstatic-tool");
        std::os::unix::fs::symlink("/bin/true", tool).expect("a command");
        dirs.push(dir.display().to_string());
    }
    // As bash calls it when a tab is typed.
    let ask = r#"source "$1/bash/mq-consume"; COMP_LINE="mq-consume -g g t --exec ec"
        COMP_POINT=${#COMP_LINE}; _mq_consume mq-consume ec --exec
        printf '%s\n' "${COMPREPLY[@]}"; echo "of $(compgen -c ec | grep -c '^ecstatic-tool$')""#;
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-c", ask, "bash", &scripts])
        .env("PATH", format!("{}:{path}", dirs.join(":")))
        .env("MQ_STORE", shell.store())
        .current_dir(shell.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let done = run(command, b"");
    let text = done.text();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.pop(),
        Some("of 2"),
        "bash finds it twice: {}",
        done.err
    );
    for name in ["echo", "ecstatic-tool"] {
        let times = lines.iter().filter(|line| **line == name).count();
        assert_eq!(times, 1, "{name}: {lines:?}");
    }
}
