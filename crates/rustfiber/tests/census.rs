//! The census example on a generated tree: equal to the sequential pass, with many fibers waiting.

#[path = "../examples/code_census/census.rs"]
mod census;

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use rustfiber::Runtime;

use census::{Waiting, parallel, sequential, top, walk};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("rustfiber-{name}-{}", process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a leftover in the temporary folder harms nobody
    }
}

/// Writes `count` source files of different lengths, half of which are typical of the folder.
fn write_files(folder: &Path, count: usize) {
    for index in 0..count {
        let own = if index % 2 == 0 { "common".to_owned() } else { format!("own_{index}") };
        let text = format!("{own} {own} {own}\nlet common = {index};\n").repeat(1 + index % 3);
        fs::write(folder.join(format!("file_{index}.rs")), text).unwrap();
    }
}

#[test]
fn a_directory_of_2000_files_has_a_thousand_fibers_waiting_at_once() {
    let folder = Folder::new("wide");
    write_files(&folder.0, 2000);
    let tree = walk(&folder.0).unwrap();
    assert_eq!(tree.file_count(), 2000);
    let expected = sequential(&tree, &|| ());
    assert_eq!((expected.files, expected.typical_files), (2000, 1000));
    assert_eq!(top(&expected.identifiers, 1)[0].0, "common");
    for workers in [1, 2, 4, 16] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let waiting = Waiting::default();
        assert_eq!(runtime.run(|| parallel(&tree, &waiting, &|| ())), expected);
        assert!(waiting.peak() >= 1000, "{} waited at once", waiting.peak());
        let stats = runtime.stats().total();
        assert!(stats.fibers_peak >= waiting.peak() as u64, "{stats:?}");
        assert!(stats.suspensions >= 1000, "{stats:?}");
    }
}

#[test]
fn the_census_equals_the_sequential_pass_every_time() {
    let folder = Folder::new("deep");
    for child in ["a", "b", "b/c", "b/c/d"] {
        fs::create_dir(folder.0.join(child)).unwrap();
        write_files(&folder.0.join(child), 20);
    }
    write_files(&folder.0, 10);
    let tree = walk(&folder.0).unwrap();
    let expected = sequential(&tree, &|| ());
    assert_eq!(expected.files, 90);
    for workers in [1, 2, 4, 16] {
        for _ in 0..50 {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            let waiting = Waiting::default();
            assert_eq!(runtime.run(|| parallel(&tree, &waiting, &|| ())), expected);
        }
    }
}
