//! Reads the text that Linux prints in sysfs. What is missing or damaged counts as not said.

use super::source::Source;
use super::{CacheFacts, CpuFacts, Description, NodeFacts, PackageKey};
use crate::cpu_set::CpuSet;
use crate::topology::CoreSpeed;

const CPU: &str = "sys/devices/system/cpu";
const NODE: &str = "sys/devices/system/node";

/// Reads the machine; `certain` are CPUs known to be online whatever the files say, since what
/// containers show in sysfs can lag behind what the scheduler grants.
pub(super) fn read(source: &impl Source, certain: &CpuSet) -> Description {
    let online = online_cpus(source).union(certain);
    let cpus = online.iter().map(|cpu| (cpu, cpu_facts(source, cpu, &online))).collect();
    Description { cpus, nodes: nodes(source, &online) }
}

fn online_cpus(source: &impl Source) -> CpuSet {
    if let Some(online) = list(source, &format!("{CPU}/online")) {
        return online;
    }
    // CPU 0 often has no `online` file, since it cannot be taken offline.
    let is_online = |cpu: &usize| number(source, &format!("{CPU}/cpu{cpu}/online")) != Some(0);
    numbered(source, CPU, "cpu").into_iter().filter(is_online).collect()
}

fn cpu_facts(source: &impl Source, cpu: usize, online: &CpuSet) -> CpuFacts {
    let base = format!("{CPU}/cpu{cpu}");
    // `core_cpus` and `package_cpus` are the newer names of what the other two hold.
    let set = |names: &[&str]| {
        let set = names.iter().find_map(|name| cpu_set(source, &format!("{base}/topology/{name}")));
        named_by(cpu, online, set)
    };
    let figure = |name: &str| number(source, &format!("{base}/{name}"));
    let package = match set(&["package_cpus", "core_siblings"]) {
        Some(cpus) => PackageKey::Cpus(cpus),
        None => match figure("topology/physical_package_id") {
            Some(id) => PackageKey::OsId(id),
            None => PackageKey::Unknown,
        },
    };
    let speed = |name| figure(name).and_then(|value| u32::try_from(value).ok());
    CpuFacts {
        core: set(&["core_cpus", "thread_siblings"]),
        die: set(&["die_cpus"]),
        package,
        cache: last_level_cache(source, cpu, online),
        speed: CoreSpeed {
            capacity: speed("cpu_capacity"),
            base_khz: speed("cpufreq/base_frequency"),
            max_khz: speed("cpufreq/cpuinfo_max_freq"),
        },
    }
}

fn last_level_cache(source: &impl Source, cpu: usize, online: &CpuSet) -> Option<CacheFacts> {
    let base = format!("{CPU}/cpu{cpu}/cache");
    let describe = |index| {
        let base = format!("{base}/index{index}");
        let kind = source.read(&format!("{base}/type"));
        if kind.is_some_and(|kind| kind.trim() == "Instruction") {
            return None;
        }
        let level = number(source, &format!("{base}/level"))?;
        Some(CacheFacts {
            level: u32::try_from(level).ok()?,
            cpus: named_by(cpu, online, cpu_set(source, &format!("{base}/shared_cpu")))?,
            bytes: source.read(&format!("{base}/size")).and_then(|text| bytes(&text)),
        })
    };
    let caches = numbered(source, &base, "index").into_iter().filter_map(describe);
    caches.max_by_key(|cache| cache.level)
}

fn nodes(source: &impl Source, online: &CpuSet) -> Vec<NodeFacts> {
    let ids = numbered(source, NODE, "node");
    let describe = |&id: &usize| {
        // A node of memory alone has an empty list, which is a fact as well: its column in the
        // distances counts.
        let cpus = list(source, &format!("{NODE}/node{id}/cpulist"))
            .or_else(|| mask(source, &format!("{NODE}/node{id}/cpumap")))
            .unwrap_or_default();
        let row = source.read(&format!("{NODE}/node{id}/distance")).unwrap_or_default();
        let row: Option<Vec<u32>> = row.split_whitespace().map(|cell| cell.parse().ok()).collect();
        NodeFacts {
            os_id: id,
            cpus: cpus.intersection(online),
            distances: row.filter(|row| row.len() == ids.len()).unwrap_or_default(),
        }
    };
    ids.iter().map(describe).collect()
}

/// Keeps a set only if it can be true: the CPU that names it is one of its members.
fn named_by(cpu: usize, online: &CpuSet, set: Option<CpuSet>) -> Option<CpuSet> {
    set.filter(|set| set.contains(cpu)).map(|set| set.intersection(online))
}

/// Reads a set that the kernel prints in two forms: `NAME_list` (`shared_cpu_list`), and the mask
/// `NAME` (`shared_cpu_map`), the only one of old kernels.
fn cpu_set(source: &impl Source, path: &str) -> Option<CpuSet> {
    list(source, &format!("{path}_list"))
        .or_else(|| mask(source, path))
        .or_else(|| mask(source, &format!("{path}_map")))
}

fn list(source: &impl Source, path: &str) -> Option<CpuSet> {
    source.read(path)?.parse().ok().filter(|set: &CpuSet| !set.is_empty())
}

fn mask(source: &impl Source, path: &str) -> Option<CpuSet> {
    CpuSet::parse_mask(&source.read(path)?).ok().filter(|set| !set.is_empty())
}

fn number(source: &impl Source, path: &str) -> Option<usize> {
    source.read(path)?.trim().parse().ok()
}

/// Returns the numbers N of the entries `prefixN` of a directory, ascending.
fn numbered(source: &impl Source, directory: &str, prefix: &str) -> Vec<usize> {
    let number = |name: String| name.strip_prefix(prefix)?.parse().ok();
    let names = source.children(directory).into_iter();
    let mut numbers: Vec<usize> =
        names.filter_map(number).filter(|&number| number <= CpuSet::CPU_MAX).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Parses a cache size such as `32768K`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::source::Files;

    fn files(files: &[(&str, &str)]) -> Files {
        Files::new(files.iter().map(|(path, text)| (format!("{CPU}/{path}"), (*text).into())))
    }

    #[test]
    fn cache_sizes_are_read_with_their_unit() {
        assert_eq!(bytes("32768K\n"), Some(32 << 20));
        assert_eq!(bytes("8M"), Some(8 << 20));
        assert_eq!(bytes("1G"), Some(1 << 30));
        assert_eq!(bytes("512"), Some(512));
        for text in
            ["", "K", "-1K", "3.5M", "12KB", "99999999999999999999K", "18446744073709551615K"]
        {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn without_an_online_list_the_directories_tell_who_is_online() {
        let source = files(&[
            ("cpu0/topology/core_id", "0\n"),
            ("cpu1/online", "0\n"),
            ("cpu2/online", "1\n"),
            ("cpufreq/boost", "1\n"),
        ]);
        assert_eq!(online_cpus(&source), CpuSet::from([0, 2]));
    }

    #[test]
    fn the_last_level_cache_is_never_an_instruction_cache() {
        let source = files(&[
            ("cpu0/cache/index0/level", "1"),
            ("cpu0/cache/index0/type", "Data"),
            ("cpu0/cache/index0/shared_cpu_map", "3"),
            ("cpu0/cache/index1/level", "2"),
            ("cpu0/cache/index1/type", "Instruction"),
            ("cpu0/cache/index1/shared_cpu_map", "3"),
        ]);
        let cache = last_level_cache(&source, 0, &CpuSet::from([0, 1])).unwrap();
        assert_eq!((cache.level, cache.cpus), (1, CpuSet::from([0, 1])));
    }

    #[test]
    fn a_set_without_the_cpu_that_names_it_is_not_believed() {
        let source = files(&[("cpu0/topology/core_cpus_list", "1-2")]);
        assert!(cpu_facts(&source, 0, &CpuSet::from([0, 1, 2])).core.is_none());
    }

    #[test]
    fn the_mask_stands_in_for_a_damaged_list() {
        let source =
            files(&[("cpu1/topology/core_cpus_list", "0-"), ("cpu1/topology/core_cpus", "3")]);
        let facts = cpu_facts(&source, 1, &CpuSet::from([0, 1, 2]));
        assert_eq!(facts.core, Some(CpuSet::from([0, 1])));
    }

    #[test]
    fn a_certain_cpu_is_online_even_when_no_file_says_so() {
        let description = read(&files(&[("online", "0")]), &CpuSet::from([2]));
        assert!(description.cpus.keys().eq(&[0, 2]));
    }
}
