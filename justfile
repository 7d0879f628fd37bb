# Short commands for contributors. `just` lists them; docs/HACKING.md explains them.

_default:
    @just --list --unsorted

# Build the tools for development.
build:
    cargo build

# All tests, or those of a family or name: just test --test cli errors
test *ARGS:
    cargo test {{ARGS}}

# The long runs too: just long --test faults
long *ARGS:
    MQ_LONG=1 cargo test {{ARGS}}

# Formatting and lints, as .ci/run has them.
lint:
    cargo fmt --check
    cargo clippy --lib --bins -- -D warnings
    cargo clippy --tests --benches --examples -- -D warnings -A clippy::pedantic -A clippy::disallowed_methods -A clippy::print_stdout -A clippy::print_stderr -A clippy::unwrap_used

# The library's documentation.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Write man pages, completions and snapshots, then look at the difference.
bless:
    MQ_BLESS=1 cargo test --test cli --test groups --test house
    git diff --stat -- man completions tests/snapshots

# One bench by the name of its script: just bench failover 50
bench NAME="ratios" *ARGS:
    cargo build --release --bins
    benches/{{NAME}}.sh {{ARGS}}

# Take one check out of the source at a time, and see whether a test notices: just sabotage lock
sabotage *NAMES:
    tests/sabotage.sh {{NAMES}}

# Install the tools for this user.
install:
    cargo install --locked --path .

# Everything that has to pass.
ci:
    bash .ci/run
