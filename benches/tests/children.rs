//! The program that benchmarks start for systems in processes of their own, and for themselves.

use std::fs;
use std::process::{Command, Output};

use rustfiber_benches::paired::Run;
use rustfiber_benches::suite::workloads;

fn paired(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_paired")).args(arguments).output().unwrap()
}

#[test]
fn a_child_runs_mays_program_and_an_unknown_one_is_refused() {
    let mut runs = 0;
    for workload in workloads() {
        let output = paired(&["--child", workload.name, "--quick"]);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.contains("may has no workload"), "{}: {errors}", workload.name);
            continue;
        }
        let run: Run = serde_json::from_slice(&output.stdout).unwrap();
        assert!(run.seconds > 0.0);
        runs += 1;
    }
    assert_eq!(runs, 9, "of each of may's programs");
}

#[test]
fn a_run_writes_its_reports_and_compares_itself_with_a_saved_one() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let of_yield = ["fibers/yield", "--quick", "--out", folder];
    let first = paired(&[&of_yield[..], &["--save", "before"]].concat());
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let second = paired(&[&of_yield[..], &["--compare", "before"]].concat());
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(String::from_utf8_lossy(&second.stdout).contains("| fibers/yield |"));
    let page = fs::read_to_string(format!("{folder}/report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("changes"));

    let unknown = paired(&["fibers/yield", "--quick", "--compare", "never-saved"]);
    assert!(!unknown.status.success());
    let errors = String::from_utf8_lossy(&unknown.stderr);
    assert!(errors.contains("never-saved.json") && errors.contains("--save"), "{errors}");
}

#[test]
fn a_filter_that_matches_nothing_is_an_error() {
    let output = paired(&["no-such-workload", "--quick"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-workload"));
}
