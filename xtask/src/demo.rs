//! `cargo xtask demo`: the example `code_census` over real source trees; with `--trace`, a picture
//! of what its workers did.

use std::collections::BTreeSet;
use std::env::consts::EXE_EXTENSION;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use lexopt::Arg;
use xshell::cmd;

use crate::project::Project;
use crate::{Result, timeline};

/// Runs the example over the folders given, or over this workspace and its dependencies.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let mut roots = Vec::new();
    let mut options: Vec<OsString> = Vec::new();
    let mut trace: Option<PathBuf> = None;
    loop {
        // What follows `--` is the example's, unread.
        if let Some(rest) = parser.try_raw_args()
            && rest.peek().is_some_and(|argument| argument == "--")
        {
            options.extend(rest.skip(1));
            break;
        }
        match parser.next()? {
            Some(Arg::Value(root)) => roots.push(PathBuf::from(root)),
            Some(Arg::Long("trace")) => trace = Some(project.target.join("demo/timeline.json")),
            Some(Arg::Long("workers")) => options.extend(["--workers".into(), parser.value()?]),
            Some(other) => return Err(other.unexpected().into()),
            None => break,
        }
    }
    if roots.is_empty() {
        roots.push(project.root.clone());
        roots.extend(dependencies(project)?);
    } else {
        // The example runs in the workspace's root, wherever this was called from.
        roots = roots
            .into_iter()
            .map(|root| std::env::current_dir().map(|here| here.join(root)))
            .collect::<std::io::Result<_>>()?;
    }
    let cargo = &project.cargo;
    let mut example = vec!["-p", "rustfiber", "--example", "code_census"];
    if let Some(file) = &trace {
        fs::create_dir_all(project.target.join("demo"))?;
        options.extend(["--trace".into(), file.into()]);
        example.extend(["--features", "trace"]);
    }
    cmd!(project.shell, "{cargo} build --release {example...}").quiet().run()?;
    // Not by `cargo run`, which prints every folder's name.
    let program = project.target.join("release/examples/code_census").with_extension(EXE_EXTENSION);
    let folders = if roots.len() == 1 { "folder" } else { "folders" };
    println!("A census of the Rust sources in {} {folders}: one job a file.", roots.len());
    cmd!(project.shell, "{program} {roots...} {options...}").quiet().run()?;
    if let Some(file) = trace {
        println!("the timeline is {}", timeline::draw(&file)?.display());
    }
    Ok(true)
}

/// Returns the folders into which cargo unpacked the sources of our dependencies on this machine.
fn dependencies(project: &Project) -> Result<BTreeSet<PathBuf>> {
    let metadata = project.metadata(&["--filter-platform", &project.host()?])?;
    let packages = metadata["packages"].as_array().ok_or("`cargo metadata` lists no packages")?;
    let manifests = packages.iter().filter_map(|package| package["manifest_path"].as_str());
    Ok(manifests
        .filter_map(|manifest| Path::new(manifest).parent())
        .filter(|folder| !folder.starts_with(&project.root) && folder.is_dir())
        .map(Path::to_path_buf)
        .collect())
}
