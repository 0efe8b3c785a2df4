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
