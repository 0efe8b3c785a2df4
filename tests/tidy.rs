//! Holds what the compiler cannot: the arrows between folders (ARCHITECTURE.md), the sizes of files, a head for every
//! folder, owners of TODOs, and of COMPAT.md a row for every RPC and a test for every claim. Each test prints everything
//! that is wrong at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost::Message;

/// A folder (or file) of `src/` and what it may use besides `proto`, `statemachine`, `config` and `telemetry`.
const ARROWS: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("telemetry", &[]),
    ("storage", &[]),
    ("raft", &["storage"]),
    ("cluster", &["storage", "raft"]),
    ("matching", &["storage", "raft", "cluster"]),
    ("effects", &["storage", "raft", "cluster", "matching"]),
    ("reads", &["storage", "raft", "cluster", "matching", "effects"]),
    ("auth", &[]),
    ("web", &["storage", "raft", "cluster", "matching", "effects", "reads", "auth"]),
    ("api", &["storage", "raft", "cluster", "matching", "effects", "reads", "auth"]),
    ("node", &["storage", "raft", "cluster", "matching", "effects", "reads", "auth", "web", "api"]),
    ("bench", &["cluster", "node"]),
    ("chaos", &[]),
    ("cli", &["storage", "raft", "cluster", "node", "bench", "chaos"]),
];

/// What every folder of the root package may use.
const SHARED: &[&str] = &["config", "telemetry"];

/// Words that may stand in code of one place only.
const FENCES: &[(&str, &[&str])] = &[
    ("openraft::", &["src/raft/"]),
    ("rocksdb::", &["src/storage/"]),
    ("statemachine::apply(", &["src/raft/machine", "src/raft/applier.rs", "src/raft/scripts_test.rs"]),
];

/// What the pure core may name of other crates: nothing but generated types, bytes and their encoding.
const CORE_BANS: &[&str] =
    &["tokio", "tonic", "openraft", "rocksdb", "rand", "futures", "uuid", "std::time", "std::fs"];

/// What a planted bug may name all the same: it is in no build but those that are to fail.
const PLANTED_IN_CORE: (&str, &str) = ("src/statemachine/apply.rs", "std::time::SystemTime::now()");

const LINES_MAX: usize = 600;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The code without comments, so that prose may name anything. Good enough for our own style: no block comments,
    /// and no `//` within a string but in addresses, which no check looks for.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or(line)))
    }

    /// `storage` for src/storage/disk.rs, `node` for src/node.rs.
    fn module(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        inner.split_once('/').map(|(folder, _)| folder).or_else(|| inner.strip_suffix(".rs"))
    }

    fn in_core(&self) -> bool {
        self.path.starts_with("src/statemachine/")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(folder).expect("our own sources can be read") {
        let path = entry.expect("our own sources can be read").path();
        if path.is_dir() {
            files_under(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        files_under(&root().join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| Source {
        path: path.strip_prefix(root()).expect("found under the root").to_string_lossy().into_owned(),
        text: fs_err::read_to_string(path).expect("our own sources can be read"),
    };
    paths.iter().map(read).collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

/// The modules of this package that a line names: `crate::raft::…`, `use crate::{node, raft::x}`.
fn modules_named(line: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, prefix) in line.match_indices("crate::") {
        if inside_a_path(&line[..at]) {
            continue;
        }
        let rest = &line[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(top_level_names(group)),
            None => named.push(first_word(rest)),
        }
    }
    named
}

/// True if what follows continues a path or a word: `my_` before `crate::`.
fn inside_a_path(before: &str) -> bool {
    before.ends_with(|last: char| last == ':' || last == '_' || last.is_alphanumeric())
}

/// The first word of every item of a use group, without what nested groups hold: `node, raft::{a, b}}` gives node, raft.
fn top_level_names(group: &str) -> Vec<String> {
    let mut depth = 0_u32;
    let mut names = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => names.last_mut().expect("never empty").push(letter),
            _ => {}
        }
    }
    names.iter().map(|name| first_word(name.trim())).filter(|name| !name.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.in_core()) {
        let module = source.module().expect("under src/");
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: {module} has no entry in ARROWS", source.path));
            continue;
        };
        for (number, line) in source.code() {
            for named in modules_named(line) {
                let known = ARROWS.iter().any(|(name, _)| *name == named);
                let fine = named == module || SHARED.contains(&named.as_str()) || allowed.contains(&named.as_str());
                if known && !fine {
                    wrong.push(format!("{}:{number}: {module} may not use {named}", source.path));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn engines_stay_behind_their_folders() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.in_core()) {
        for (word, places) in FENCES {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            let hits = source.code().filter(|(_, line)| line.contains(word));
            wrong.extend(hits.map(|(number, _)| format!("{}:{number}: {word} belongs to {places:?}", source.path)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_core_uses_generated_types_only() {
    let manifest = fs_err::read_to_string(root().join("src/statemachine/Cargo.toml")).expect("the core has a manifest");
    let mut wrong = Vec::new();
    for ban in CORE_BANS {
        if manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(*ban)) {
            wrong.push(format!("src/statemachine/Cargo.toml: {ban}"));
        }
    }
    for source in sources(&["src/statemachine"]) {
        for (number, line) in source.code() {
            for ban in CORE_BANS {
                let path = format!("{ban}::");
                let named = line.match_indices(&path).any(|(at, _)| !inside_a_path(&line[..at]));
                let planted = source.path == PLANTED_IN_CORE.0 && line.contains(PLANTED_IN_CORE.1);
                if named && !planted {
                    wrong.push(format!("{}:{number}: {ban}", source.path));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    let mut long = BTreeSet::new();
    for source in sources(&["src", "proto", "tests"]) {
        let lines = source.text.lines().count();
        if lines <= LINES_MAX {
            continue;
        }
        long.insert(source.path.clone());
        if !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            wrong.push(format!("{}: {lines} lines; split it at {LINES_MAX}", source.path));
        }
    }
    let stale = LONG_FILES.iter().filter(|(path, _)| !long.contains(*path));
    wrong.extend(stale.map(|(path, _)| format!("{path}: short again, take it off LONG_FILES")));
    assert_none(&wrong);
}

#[test]
fn every_folder_says_what_it_is() {
    let all = sources(&["src", "proto"]);
    let folders: BTreeSet<&str> = all.iter().filter_map(|source| Some(source.path.rsplit_once('/')?.0)).collect();
    let mut wrong = Vec::new();
    for folder in folders {
        let heads = [format!("{folder}/mod.rs"), format!("{folder}/lib.rs"), format!("{folder}.rs")];
        match all.iter().find(|source| heads.contains(&source.path)) {
            None => wrong.push(format!("{folder}: none of {heads:?}")),
            Some(source) if !source.text.starts_with("//!") => {
                wrong.push(format!("{}: does not begin with //!", source.path))
            }
            Some(_) => {}
        }
    }
    assert_none(&wrong);
}

#[test]
fn todos_have_an_issue() {
    let mut wrong = Vec::new();
    for source in sources(&["src", "proto", "tests"]) {
        if source.path == "tests/tidy.rs" {
            continue;
        }
        for (at, line) in source.text.lines().enumerate() {
            let owned = line.find("TODO").is_none_or(|from| line[from..].starts_with("TODO(#"));
            if !owned || line.contains("FIXME") || line.contains("XXX") {
                wrong.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(&wrong);
}

/// The cells of COMPAT.md's rows.
fn compat_rows() -> Vec<Vec<String>> {
    let compat = fs_err::read_to_string(root().join("COMPAT.md")).expect("COMPAT.md exists");
    let rows = compat.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|line| line.split(" | ").map(|cell| cell.trim_end_matches('|').trim().to_owned()).collect()).collect()
}

#[test]
fn every_rpc_has_a_row_in_compat() {
    let rows = compat_rows();
    let set = prost_types::FileDescriptorSet::decode(proto::PUBLIC_DESCRIPTORS).expect("generated descriptors decode");
    let mut wrong = Vec::new();
    let mut methods = 0;
    for service in set.file.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            let name = match service.name() {
                "WorkflowService" | "OperatorService" => method.name().to_string(),
                "Health" => format!("grpc.health.v1.Health/{}", method.name()),
                _ => continue,
            };
            methods += 1;
            match rows.iter().filter(|row| row[0] == name).collect::<Vec<_>>().as_slice() {
                [row] if row.len() != 3 => wrong.push(format!("{name}: {} cells instead of 3", row.len())),
                [row] if !["works", "partly", "Unimplemented"].iter().any(|state| row[1].starts_with(state)) => {
                    wrong.push(format!("{name}: the state {:?} is none of works, partly, Unimplemented", row[1]));
                }
                [_] => {}
                rows => wrong.push(format!("{name}: {} rows", rows.len())),
            }
        }
    }
    assert!(methods > 130, "only {methods} methods in the descriptors");
    assert_none(&wrong);
}

/// What a name in backticks may be that shows a claim of COMPAT.md, and what is wrong with it if it is none.
fn not_evidence(name: &str, tests: &[Source], differing: &[&str]) -> Option<String> {
    if name.starts_with("scripts/") {
        let (script, step) = name.split_once(' ').unwrap_or((name, ""));
        let text = fs_err::read_to_string(root().join(script)).unwrap_or_default();
        return (!text.contains(&format!("step_{step}()"))).then(|| format!("{name} is no step of a script"));
    }
    if let Some(script) = name.strip_suffix(".txt") {
        let path = format!("src/statemachine/testscripts/{script}.txt");
        return (!root().join(&path).exists()).then(|| format!("there is no {path}"));
    }
    if name.contains('.') {
        let path = format!("tests/golden/expected/{name}.json");
        return match differing.contains(&name) {
            true => Some(format!("{name} differs (tests/golden/differences.txt)")),
            false => (!root().join(&path).exists()).then(|| format!("there is no {path}")),
        };
    }
    let function = format!("fn {name}(");
    let found = tests.iter().any(|source| source.text.contains(&function));
    (!found).then(|| format!("no test is called {name}"))
}

#[test]
fn every_claim_of_compat_names_what_shows_it() {
    let tests: Vec<Source> = sources(&["src", "tests"])
        .into_iter()
        .filter(|source| source.text.contains("#[test]") || source.text.contains("#[tokio::test"))
        .collect();
    let differences = fs_err::read_to_string(root().join("tests/golden/differences.txt")).expect("it is there");
    let differing: Vec<&str> = differences.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut wrong = Vec::new();
    let mut claims = 0;
    for row in compat_rows().iter().filter(|row| row.len() == 3) {
        let (rpc, state, shown_by) = (&row[0], &row[1], &row[2]);
        // A difference that the row names is no claim.
        let differing = if state.starts_with("works") { differing.as_slice() } else { &[] };
        match (state.starts_with("works") || state.starts_with("partly"), shown_by.split('`').skip(1).step_by(2)) {
            (true, names) => {
                claims += 1;
                if names.clone().next().is_none() {
                    wrong.push(format!("{rpc}: nothing shows it"));
                }
                wrong.extend(
                    names.filter_map(|name| Some(format!("{rpc}: {}", not_evidence(name, &tests, differing)?))),
                );
            }
            (false, mut names) => wrong.extend(names.next().map(|_| format!("{rpc}: shown, but {state}"))),
        }
    }
    assert!(claims > 60, "only {claims} claims in COMPAT.md");
    assert_none(&wrong);
}

#[test]
fn uses_are_taken_apart() {
    assert_eq!(modules_named("use crate::raft::Group;"), ["raft"]);
    assert_eq!(modules_named("use crate::{node, raft::{a, b}, telemetry};"), ["node", "raft", "telemetry"]);
    assert_eq!(modules_named("let x = my_crate::raft();"), Vec::<String>::new());
}

/// The features of a manifest: name and what it turns on.
fn features(manifest: &str) -> Vec<(String, String)> {
    let text = fs_err::read_to_string(root().join(manifest)).expect("the manifest can be read");
    let section =
        text.split("[features]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default().to_owned();
    let entries = section.lines().filter_map(|line| line.split_once(" = "));
    entries.map(|(name, on)| (name.to_owned(), on.to_owned())).collect()
}

#[test]
fn planted_bugs_are_in_no_default_and_in_one_place_each() {
    let mut wrong = Vec::new();
    for manifest in ["Cargo.toml", "src/statemachine/Cargo.toml", "tests/sim/Cargo.toml"] {
        let default = features(manifest).into_iter().find(|(name, _)| name == "default");
        if default.is_some_and(|(_, on)| on != "[]") {
            wrong.push(format!("{manifest}: features are on by default"));
        }
    }
    let sources = sources(&["src"]);
    let bugs = features("Cargo.toml").into_iter().filter(|(name, _)| name.starts_with("bug-"));
    let mut count = 0;
    for (bug, _) in bugs {
        count += 1;
        let mark = format!("feature = \"{bug}\"");
        let places: Vec<&str> =
            sources.iter().filter(|source| source.text.contains(&mark)).map(|source| source.path.as_str()).collect();
        if places.len() != 1 {
            wrong.push(format!("{bug}: planted in {places:?}"));
        }
    }
    assert!(count >= 9, "only {count} planted bugs");
    assert_none(&wrong);
}
