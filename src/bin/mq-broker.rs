//! `mq-broker`: see `mq::cli::broker`.
fn main() -> std::process::ExitCode {
    mq::cli::main::<mq::cli::broker::Args>()
}
