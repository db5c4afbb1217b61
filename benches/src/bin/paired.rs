//! `paired [FILTER] [--quick] [--out FOLDER]`: runs the workloads whose names contain the filter,
//! and writes `report.md`, `report.json` and `report.html`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use lexopt::{Arg, ValueExt};
use rustfiber_benches::page::html;
use rustfiber_benches::paired::measure;
use rustfiber_benches::peers::Pools;
use rustfiber_benches::report::{Entry, Machine, Report};
use rustfiber_benches::suite::{Size, WORKLOADS};

struct Options {
    filter: String,
    size: Size,
    out: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { filter, size, out } = options()?;
    let rounds = if size == Size::Full { 11 } else { 7 };
    let machine = Machine::this();
    let pools = Pools::start(machine.cpus);
    let mut entries = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| workload.name.contains(&filter)) {
        workload.with_systems(&pools, size, &mut |systems| {
            let systems = measure(systems, rounds);
            let ratios = systems.iter().skip(1);
            let ratios = ratios.map(|one| format!("{} {:.2}", one.system, one.ratio.median));
            eprintln!("{:28} {}", workload.name, ratios.collect::<Vec<_>>().join(", "));
            entries.push(Entry { workload: workload.name, about: workload.about, systems });
        });
    }
    if entries.is_empty() {
        return Err(format!("no workload's name contains {filter:?}").into());
    }
    let report = Report { machine, workers: pools.workers, rounds, entries };
    fs::create_dir_all(&out)?;
    fs::write(out.join("report.md"), report.markdown())?;
    fs::write(out.join("report.json"), serde_json::to_string_pretty(&report)?)?;
    fs::write(out.join("report.html"), html(&report)?)?;
    println!("{} (and report.md, report.json)", out.join("report.html").display());
    Ok(())
}

fn options() -> Result<Options, lexopt::Error> {
    let mut options =
        Options { filter: String::new(), size: Size::Full, out: PathBuf::from("target/bench") };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(filter) => options.filter = filter.string()?,
            Arg::Long("quick") => options.size = Size::Quick,
            Arg::Long("out") => options.out = parser.value()?.into(),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}
