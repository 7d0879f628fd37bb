//! `mq-consume`: see `mq::cli::consume`.
fn main() -> std::process::ExitCode {
    mq::cli::main::<mq::cli::consume::Args>()
}
