//! Real machines, captured as sysfs files: their counts, domains and order of CPUs must be those
//! that hwloc and people found. The captures belong to others and are not part of this repository;
//! without them the test says that it was skipped.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::common::assert_consistent;
use topology::{CpuSet, Topology, placement};

/// One machine of the index, by column name.
type Row = HashMap<String, String>;
type Files = Vec<(String, String)>;

#[test]
fn captured_machines_are_described_as_their_index_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/machines");
    let Ok(index) = fs::read_to_string(folder.join("INDEX.tsv")) else {
        // Written past the test harness, which shows what is printed only when a test fails.
        let note = b"SKIPPED: captured machines (no ../shared/machines beside the workspace)\n";
        io::stderr().write_all(note).unwrap();
        return;
    };
    let rows = rows(&index);
    let mut captures: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    captures.retain(|path| path.extension().is_some_and(|extension| extension == "files"));
    captures.sort();
    assert_eq!(captures.len(), rows.len(), "every capture is in the index");
    for capture in captures {
        let name = capture.file_stem().unwrap().to_str().unwrap();
        let row = rows.iter().find(|row| row["name"] == name);
        check(name, row.expect("the capture is in the index"), &files(&capture));
    }
}

fn check(name: &str, row: &Row, files: &Files) {
    let allowed: CpuSet = row["allowed"].parse().unwrap();
    let topology = Topology::from_files(files.iter().cloned(), Some(&allowed)).unwrap();
    println!("{name}: {} domains", topology.domains().len());
    assert_consistent(&topology);

    // The index counts what a process sees: nodes by the memory it may use, cores by CPUs.
    let nodes: CpuSet = memory_nodes(files).unwrap_or_else(|| (0..1000).collect());
    let seen = topology.numa_nodes().iter().filter(|node| nodes.contains(node.os_id.unwrap()));
    let seen: CpuSet = seen.flat_map(|node| &node.cpus).collect();
    let count = |sets: &mut dyn Iterator<Item = &CpuSet>, among: &CpuSet| {
        sets.filter(|set| !set.is_disjoint(among)).count().to_string()
    };
    let packages = count(&mut topology.packages().iter().map(|package| &package.cpus), &seen);
    assert_eq!(packages, row["pkg"], "packages of {name}");
    let nodes = count(&mut topology.numa_nodes().iter().map(|node| &node.cpus), &seen);
    assert_eq!(nodes, row["numa"], "NUMA nodes of {name}");
    let caches = topology.last_level_caches().iter().filter(|cache| cache.level == 3);
    let caches = count(&mut caches.map(|cache| &cache.cpus), &seen);
    assert_eq!(caches, row["l3"], "L3 caches of {name}");
    let cores = count(&mut topology.cores().iter().map(|core| &core.cpus), &allowed);
    assert_eq!(cores, row["cores"], "cores of {name}");
    assert_eq!(topology.cpu_count().to_string(), row["pus"], "CPUs of {name}");
    assert_eq!(*topology.allowed(), allowed, "allowed CPUs of {name}");

    let usable = topology.domains().iter().filter(|domain| !domain.cpus.is_disjoint(&allowed));
    let domains: Vec<String> = usable.map(|domain| domain.cpus.to_string()).collect();
    assert_eq!(domains.join(" "), row["domains"], "domains of {name}");

    // On these machines the default placement fills the tiers of the index one after the other.
    let mut order = placement(&topology, topology.cpu_count()).into_iter();
    for tier in ["tier1", "tier2", "tier3"] {
        let expected: CpuSet = row[tier].parse().unwrap();
        let placed: CpuSet = order.by_ref().take(expected.len()).collect();
        assert_eq!(placed, expected, "{tier} of {name}");
    }
}

fn rows(index: &str) -> Vec<Row> {
    let mut lines = index.lines().map(|line| line.split('\t').map(str::to_owned));
    let columns: Vec<String> = lines.next().unwrap().collect();
    lines.map(|cells| columns.iter().cloned().zip(cells).collect()).collect()
}

/// Reads a capture: one file a line, its path, a tab, its content with `\n` for each line end.
fn files(capture: &Path) -> Files {
    let text = fs::read_to_string(capture).unwrap();
    let file = |line: &str| {
        let (path, content) = line.split_once('\t').expect("a path and a content");
        (path.to_owned(), content.replace("\\n", "\n"))
    };
    text.lines().map(file).collect()
}

/// Returns the nodes of which the captured process may use the memory, if its cgroup says so.
fn memory_nodes(files: &Files) -> Option<CpuSet> {
    let file = files.iter().find(|(path, _)| path.ends_with("/cpuset.mems.effective"))?;
    file.1.parse().ok()
}
