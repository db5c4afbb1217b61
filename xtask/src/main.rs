//! Workspace automation: `cargo xtask verify [--fast]`, `cargo xtask loom [CRATE]`.

mod verify;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask verify [--fast] | cargo xtask loom [CRATE]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["verify"] => verify::verify(false),
        ["verify", "--fast"] => verify::verify(true),
        ["loom"] => verify::loom(None),
        ["loom", name] => verify::loom(Some(name)),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
