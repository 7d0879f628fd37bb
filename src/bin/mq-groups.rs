//! `mq-groups`: see `mq::cli::groups`.
fn main() -> std::process::ExitCode {
    mq::cli::main::<mq::cli::groups::Args>()
}
