//! What a node's log says.

use std::path::Path;

/// Errors and panics in a node's log, the first few.
pub fn bad_lines(node: u64, log: &Path) -> Vec<String> {
    const SHOWN: usize = 8;
    let text = fs_err::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let bad = text.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked at"));
    bad.take(SHOWN).map(|line| format!("node {node}: {line}")).collect()
}

/// The lines of a log from a place on.
pub fn since(log: &Path, from: u64) -> Vec<String> {
    let text = fs_err::read(log).unwrap_or_default();
    let text = text.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}
