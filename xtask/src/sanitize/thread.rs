//! ThreadSanitizer: accesses of two threads, or fibers, that nothing orders.
//!
//! std is built with the sanitizer too, which would else miss the orders that std makes. That takes
//! std's source: the pinned toolchain's (`rustup component add rust-src`), else that of Debian's
//! compiler. The sanitizer's runtime is the pinned toolchain's in both cases, as Debian packages
//! none for Rust.

use std::fs;
use std::path::{Path, PathBuf};

use xshell::cmd;

use super::{Bug, RUNS, Readiness, Setup, Tool, encoded};
use crate::Result;
use crate::process::Log;
use crate::project::Project;

pub(crate) const THREAD: Tool = Tool {
    name: "thread",
    debian: &["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev"],
    prepare,
    bug: Bug {
        program: "race_between_fibers",
        arguments: &[],
        report: "ThreadSanitizer: data race",
    },
    runs: &RUNS,
    features: &[],
};

const DEBIANS_RUSTC: &str = "/usr/bin/rustc";
const DEBIANS_CARGO: &str = "/usr/bin/cargo";

/// The sanitizer's runtime, as compilers of the stable channel call it.
const RUNTIME: &str = "librustc-stable_rt.tsan.a";

/// A file of std's source, below a toolchain's folder.
const STD_SOURCE: &str = "lib/rustlib/src/rust/library/std/Cargo.toml";

/// A compiler whose std can be built, and the sysroot that it is to take.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    sysroot: PathBuf,
}

fn prepare(project: &Project, _: &mut Log) -> Result<Readiness> {
    let host = project.host()?;
    if !matches!(host.as_str(), "x86_64-unknown-linux-gnu" | "aarch64-unknown-linux-gnu") {
        return Ok(Readiness::Missing(format!("there is no ThreadSanitizer for {host}")));
    }
    let toolchain = match find_toolchain(project, &host)? {
        Ok(toolchain) => toolchain,
        Err(missing) => return Ok(Readiness::Missing(missing)),
    };
    let sysroot = toolchain.sysroot.to_str().ok_or("the target folder is not in UTF-8")?;
    let flags = ["--sysroot", sysroot, "-Zsanitizer=thread", "--cfg", "rustfiber_tsan"];
    let environment = [
        ("RUSTC_BOOTSTRAP", "1".into()),
        ("RUSTC", toolchain.rustc.into()),
        ("CARGO_ENCODED_RUSTFLAGS", encoded(&flags)),
        ("CARGO_TARGET_DIR", THREAD.folder(project).into()),
        // std is built as the tests are: unoptimised, its frames are too large for small stacks.
        ("CARGO_PROFILE_DEV_OPT_LEVEL", "1".into()),
        ("CARGO_PROFILE_DEV_DEBUG", "line-tables-only".into()),
    ];
    Ok(Readiness::Ready(Setup {
        cargo: toolchain.cargo,
        arguments: vec!["-Zbuild-std".to_string(), "--target".to_string(), host],
        environment: environment.map(|(name, value)| (name.to_string(), value)).into(),
    }))
}

/// Finds a compiler with its std's source; else says what is missing.
fn find_toolchain(project: &Project, host: &str) -> Result<std::result::Result<Toolchain, String>> {
    let pinned = PathBuf::from(cmd!(project.shell, "rustc --print sysroot").quiet().read()?);
    let runtime = libraries(&pinned, host).join(RUNTIME);
    if !runtime.is_file() {
        return Ok(Err(format!("the toolchain has no {RUNTIME}")));
    }
    if pinned.join(STD_SOURCE).is_file() {
        let (cargo, rustc) = (project.cargo.clone(), PathBuf::from("rustc"));
        return Ok(Ok(Toolchain { cargo, rustc, sysroot: pinned }));
    }
    let debian = cmd!(project.shell, "{DEBIANS_RUSTC} --print sysroot").quiet().ignore_stderr();
    match debian.read().map(PathBuf::from) {
        Ok(debian) if is_complete(&debian) => {
            let sysroot = THREAD.folder(project).join("sysroot");
            link_sysroot(project, &debian, &runtime, host, &sysroot)?;
            let (cargo, rustc) = (DEBIANS_CARGO.into(), DEBIANS_RUSTC.into());
            Ok(Ok(Toolchain { cargo, rustc, sysroot }))
        }
        _ => {
            let packages = THREAD.debian.join(", ");
            Ok(Err(format!(
                "the source of std is neither rustup's (rust-src) nor Debian's ({packages})"
            )))
        }
    }
}

/// Tells whether, with Debian's compiler, its cargo and std's source are installed.
fn is_complete(debian: &Path) -> bool {
    Path::new(DEBIANS_CARGO).is_file() && debian.join(STD_SOURCE).is_file()
}

/// Makes a sysroot of links: all that is in Debian's, and the runtime.
fn link_sysroot(
    project: &Project,
    debian: &Path,
    runtime: &Path,
    host: &str,
    sysroot: &Path,
) -> Result<()> {
    if sysroot.exists() {
        fs::remove_dir_all(sysroot)?;
    }
    let linked = libraries(sysroot, host);
    fs::create_dir_all(&linked)?;
    let mut files = vec![runtime.to_path_buf()];
    for entry in fs::read_dir(libraries(debian, host))? {
        files.push(entry?.path());
    }
    cmd!(project.shell, "ln -s -t {linked} {files...}").quiet().run()?;
    let (source, linked) = (debian.join("lib/rustlib/src"), sysroot.join("lib/rustlib"));
    cmd!(project.shell, "ln -s -t {linked} {source}").quiet().run()?;
    Ok(())
}

/// Returns the folder of a sysroot in which the libraries for `host` are.
fn libraries(sysroot: &Path, host: &str) -> PathBuf {
    sysroot.join("lib/rustlib").join(host).join("lib")
}
