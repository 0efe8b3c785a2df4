//! Runs testscripts/*.txt. `BLESS=1 cargo test -p statemachine` rewrites their answers; review the diff like code.

use std::fs;
use std::path::Path;

use super::harness::Mode;

#[expect(clippy::disallowed_methods, reason = "the switch of this test")]
#[test]
fn every_script_gets_its_answers() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testscripts"));
    let bless = option_env!("BLESS").is_some() || std::env::var_os("BLESS").is_some();
    let mut failed = Vec::new();
    let mut names: Vec<_> =
        fs::read_dir(folder).expect("testscripts").map(|entry| entry.expect("entry").path()).collect();
    names.sort();
    assert!(!names.is_empty(), "there are scripts");
    for path in names {
        let text = fs::read_to_string(&path).expect("a script");
        if bless {
            fs::write(&path, super::script::run(&text, Mode::Plain)).expect("a writable script");
            continue;
        }
        for mode in Mode::ALL {
            let got = super::script::run(&text, mode);
            if got != text {
                failed.push(format!("{} {mode:?}:\n{}", path.display(), difference(&text, &got)));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn difference(expected: &str, got: &str) -> String {
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let at = (0..expected.len().max(got.len())).find(|at| expected.get(*at) != got.get(*at)).unwrap_or_default();
    format!("line {}: expected {:?}, got {:?}", at + 1, expected.get(at), got.get(at))
}
