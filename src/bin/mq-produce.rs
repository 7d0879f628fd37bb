//! `mq-produce`: see `mq::cli::produce`.
fn main() -> std::process::ExitCode {
    mq::cli::main::<mq::cli::produce::Args>()
}
