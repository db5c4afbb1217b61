//! `paired [FILTER] [--quick] [--out FOLDER] [--save NAME] [--compare NAME] [--workers N,N..]`:
//! runs the workloads whose names contain the filter, and writes `report.md`, `report.json` and
//! `report.html`. With numbers of workers, it compares ours with itself on so many.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use lexopt::{Arg, ValueExt};
use rustfiber_benches::compare::{changes, markdown};
use rustfiber_benches::counting::Counting;
use rustfiber_benches::page::html;
use rustfiber_benches::paired::{Outcome, System, measure};
use rustfiber_benches::peers::Pools;
use rustfiber_benches::report::{Entry, Machine, Report};
use rustfiber_benches::suite::{Context, Size, Workload, workloads};
use rustfiber_benches::{child, idle};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Options {
    filter: String,
    size: Size,
    out: PathBuf,
    save: Option<String>,
    compare: Option<String>,
    /// Empty: ours against its peers, with a worker for each CPU.
    workers: Vec<usize>,
    /// This process is one that a benchmark has started.
    child: Option<String>,
    idle: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let machine = Machine::this();
    if let Some(workload) = &options.child {
        return Ok(child::run(workload, options.size, machine.cpus)?);
    }
    if let Some(system) = &options.idle {
        return idle::run(system, machine.cpus);
    }
    // Read first: a name that does not exist should not cost a whole run.
    let before = options.compare.as_ref().map(|name| read(&saved(&options.out, name)));
    let before = before.transpose()?;
    let report = run(&options, machine)?;
    write(&options, &report, before.as_ref())
}

fn run(options: &Options, machine: Machine) -> Result<Report, Box<dyn Error>> {
    let rounds = if options.size == Size::Full { 11 } else { 7 };
    let program = env::current_exe()?;
    let is_chosen = |name: &str| name.contains(&options.filter);
    let has_peers = options.workers.is_empty();
    // Before there are other threads.
    let idle = if has_peers && is_chosen("idle") { idle::watch_all(&program)? } else { Vec::new() };
    let context = |workers| Context {
        pools: Pools::start(workers),
        single: Pools::start(1),
        size: options.size,
        program: has_peers.then(|| program.clone()),
    };
    let mut entries = Vec::new();
    let mut measure = |workload: &Workload, systems: &[System<'_>]| {
        let Outcome { systems, crashes } = measure(systems, rounds);
        let peers = systems.iter().skip(1);
        let ratios: Vec<String> =
            peers.map(|one| format!("{} {:.2}", one.label(), one.ratio.median)).collect();
        eprintln!("{:28} {}", workload.name, ratios.join(", "));
        let crashes = crashes.into_iter().map(|(system, crash)| (system.to_owned(), crash));
        entries.push(Entry {
            workload: workload.name.to_owned(),
            about: workload.about.to_owned(),
            bound: workload.bound.to_owned(),
            systems,
            crashes: crashes.collect(),
        });
    };
    let chosen = workloads().filter(|workload| is_chosen(workload.name));
    if has_peers {
        let context = context(machine.cpus);
        for workload in chosen {
            workload.with_systems(&context, &mut |systems| measure(workload, systems));
        }
    } else {
        let contexts: Vec<Context> = options.workers.iter().copied().map(context).collect();
        for workload in chosen {
            workload.with_workers(&contexts, &mut |systems| measure(workload, systems));
        }
    }
    if entries.is_empty() && idle.is_empty() {
        return Err(format!("no workload's name contains {:?}", options.filter).into());
    }
    let workers = options.workers.first().copied().unwrap_or(machine.cpus);
    Ok(Report { machine, workers, rounds, entries, idle })
}

fn write(
    options: &Options,
    report: &Report,
    before: Option<&Report>,
) -> Result<(), Box<dyn Error>> {
    let Options { out, .. } = options;
    fs::create_dir_all(out)?;
    let changes = before.map(|before| changes(report, before));
    let compared = options.compare.as_deref().zip(changes.as_deref());
    let mut text = report.markdown();
    if let Some((name, changes)) = compared {
        let table = markdown(changes, name);
        println!("{table}");
        text.push_str(&table);
    }
    let json = serde_json::to_string(report)?;
    fs::write(out.join("report.md"), text)?;
    fs::write(out.join("report.json"), &json)?;
    fs::write(out.join("report.html"), html(report, compared)?)?;
    if let Some(name) = &options.save {
        let path = saved(out, name);
        fs::create_dir_all(path.parent().expect("it lies in a folder"))?;
        fs::write(path, json)?;
    }
    println!("{} (and report.md, report.json)", out.join("report.html").display());
    Ok(())
}

/// Returns where a report of this name is kept.
fn saved(out: &Path, name: &str) -> PathBuf {
    out.join("saved").join(name).with_extension("json")
}

fn read(path: &Path) -> Result<Report, Box<dyn Error>> {
    let text = fs::read(path)
        .map_err(|error| format!("{}: {error}; make it with --save", path.display()))?;
    Ok(serde_json::from_slice(&text)
        .map_err(|error| format!("{}: {error}; make it anew with --save", path.display()))?)
}

fn options() -> Result<Options, lexopt::Error> {
    let mut options = Options {
        filter: String::new(),
        size: Size::Full,
        out: PathBuf::from("target/bench"),
        save: None,
        compare: None,
        workers: Vec::new(),
        child: None,
        idle: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(filter) => options.filter = filter.string()?,
            Arg::Long("quick") => options.size = Size::Quick,
            Arg::Long("out") => options.out = parser.value()?.into(),
            Arg::Long("save") => options.save = Some(parser.value()?.string()?),
            Arg::Long("compare") => options.compare = Some(parser.value()?.string()?),
            Arg::Long("workers") => {
                let list = parser.value()?.string()?;
                let counts: Result<Vec<usize>, _> = list.split(',').map(str::parse).collect();
                options.workers = counts.map_err(|error| format!("--workers {list}: {error}"))?;
            }
            Arg::Long("child") => options.child = Some(parser.value()?.string()?),
            Arg::Long("idle") => options.idle = Some(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}
