//! Workspace automation: `demo [DIR]`, `verify [--fast]`, `loom [CRATE]`.

mod demo;
mod verify;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask demo [DIR] | verify [--fast] | loom [CRATE]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["demo"] => demo::demo(None),
        ["demo", directory] => demo::demo(Some(directory)),
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
