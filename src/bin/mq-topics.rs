//! `mq-topics`: see `mq::cli::topics`.
fn main() -> std::process::ExitCode {
    mq::cli::main::<mq::cli::topics::Args>()
}
