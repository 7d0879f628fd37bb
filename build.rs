//! Links the tools at a fixed address on x86-64 Linux: a position-independent executable has
//! thousands of pointers set at each start, a third of what starting a tool costs.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of_target = |name: &str| var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if of_target("OS") == "linux" && of_target("ENV") == "gnu" && of_target("ARCH") == "x86_64" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
