//! Whole clusters from a few fixed seeds, each in a process of its own, so that `cargo test` shows what their invariants
//! have to say. `scripts/sim cluster` runs more.

use std::path::PathBuf;
use std::process::Command;

const SEEDS: u64 = 8;

/// Cargo builds it with the tests, beside their directory, unless it is asked for some tests only.
fn program() -> PathBuf {
    let here = std::env::current_exe().expect("this test binary");
    let program = here.ancestors().nth(2).expect("a target directory").join("examples/cluster");
    assert!(program.exists(), "{} is not built: cargo test -p sim, without --test", program.display());
    program
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn no_invariant_is_violated() {
    let said = run(&["1", "--seeds", &SEEDS.to_string()]);
    assert_eq!(said.matches(" digest ").count() as u64, SEEDS, "{said}");
    assert!(said.contains("crashes") && said.contains("signals acknowledged"), "too little happens:\n{said}");
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    let said = run(&["3", "--twice"]);
    assert!(said.contains("seed 3 digest ") && said.contains("\n0 violations"), "{said}");
}
