//! Damages the files of a node that is down, and sees that it refuses them or lives with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::cluster::Cluster;

/// A node that reads damaged files is up or gone by then.
const DECIDED: Duration = Duration::from_secs(30);
/// One that refuses them is gone by then.
const FENCED: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
const PAGE: usize = 4096;

/// Kinds of files that a node cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The log's newest entries, not in tables yet.
    Journal,
    /// Rows of the log or of a shard.
    Table,
    /// Which tables there are.
    Manifest,
    /// Which manifest, generation or node it is.
    Name,
}

const ROLES: [Role; 4] = [Role::Journal, Role::Table, Role::Manifest, Role::Name];

fn role(path: &Path) -> Option<Role> {
    let name = path.file_name()?.to_str()?;
    let numbered = name.chars().all(|c| c.is_ascii_digit() || c == '.' || c.is_ascii_lowercase());
    match name {
        "CURRENT" | "LIVE" | "identity" => Some(Role::Name),
        name if name.starts_with("MANIFEST-") => Some(Role::Manifest),
        name if name.ends_with(".sst") => Some(Role::Table),
        name if name.ends_with(".log") && numbered => Some(Role::Journal),
        _ => None,
    }
}

/// kill -9, damage, start. Returns when the node has refused its files or is up.
pub async fn damage(cluster: &Cluster, node: u64, choice: u64) -> anyhow::Result<String> {
    cluster.kill(node).await?;
    let mut files = Vec::new();
    list(&cluster.data(node), &mut files)?;
    let (path, how) = choose(&files, choice).context("the node has no file to damage")?;
    let bytes = fs_err::read(&path)?;
    let (bytes, how) = spoil(bytes, how, choice >> 24);
    fs_err::write(&path, bytes)?;
    fs_err::File::open(&path)?.sync_all()?;
    let name = path.strip_prefix(cluster.data(node)).unwrap_or(&path).display().to_string();
    let from = cluster.log_end(node);
    cluster.start_node(node).await?;
    Ok(format!("{name} of {node} {how}: {}", decided(cluster, node, from).await))
}

/// What the node makes of it.
async fn decided(cluster: &Cluster, node: u64, from: u64) -> String {
    let up = async {
        while !is_up(cluster, node).await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        ended = cluster.await_end(node, DECIDED) => match ended {
            Some((after, how)) => refused(&cluster.log_since(node, from), after, &how).unwrap_or_else(|wrong| {
                cluster.complain(node, format!("over damaged files {wrong}"));
                wrong
            }),
            None => {
                cluster.complain(node, format!("with damaged files it is neither up nor gone after {DECIDED:?}"));
                "neither up nor gone".into()
            }
        },
        () = up => "it is up".into(),
    }
}

async fn is_up(cluster: &Cluster, node: u64) -> bool {
    let status = cluster.status().await.unwrap_or_default();
    status.nodes.iter().any(|seen| seen.node_id == node && seen.up)
}

/// A node that will not have its files says so in one line, and soon. The error is what it did instead.
fn refused(lines: &[String], after: Duration, how: &str) -> Result<String, String> {
    let said: Vec<_> = lines.iter().filter(|line| line.contains(" ERROR ") || line.starts_with("everstep: ")).collect();
    match said.as_slice() {
        [line] if is_refusal(how) && after <= FENCED => Ok(format!("after {after:.1?} it says {line:?}")),
        _ => Err(format!("it ended with {how} after {after:.1?}, saying {said:?}")),
    }
}

/// Exit codes of a node that will not go on; anything else is a crash.
fn is_refusal(how: &str) -> bool {
    how == "exit status: 1" || how == "exit status: 70"
}

/// A node that lived with damaged files may have ended itself over them later, but not have crashed.
pub async fn left_well(cluster: &Cluster, node: u64) {
    if let Some((_, how)) = cluster.await_end(node, LOOK).await {
        if !is_refusal(&how) {
            cluster.complain(node, format!("some time after its files were damaged it ended with {how}"));
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = fs_err::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs_err::DirEntry::path);
    for entry in entries {
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), files)?,
            // A state store's journal is always empty.
            false if entry.metadata()?.len() > 0 => files.push(entry.path()),
            false => {}
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Flip,
    Blank,
    Cut,
}

/// A kind of file first, as there are hundreds of tables and one journal.
fn choose(files: &[PathBuf], choice: u64) -> Option<(PathBuf, How)> {
    let wanted = ROLES[choice as usize % ROLES.len()];
    let fitting = |wanted| files.iter().filter(move |path| role(path) == Some(wanted)).collect::<Vec<_>>();
    let mut some = fitting(wanted);
    if some.is_empty() {
        some = fitting(Role::Journal);
    }
    let path = some.get((choice >> 4) as usize % some.len().max(1))?;
    Some(((*path).clone(), [How::Flip, How::Blank, How::Cut][(choice >> 16) as usize % 3]))
}

fn spoil(mut bytes: Vec<u8>, how: How, choice: u64) -> (Vec<u8>, String) {
    let at = choice as usize % bytes.len().max(1);
    let all = bytes.len();
    let told = match how {
        How::Flip => {
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x40);
            format!("byte {at} of {all} flipped")
        }
        How::Blank => {
            bytes.iter_mut().skip(at).take(PAGE).for_each(|byte| *byte = 0);
            format!("zeros from {at} of {all}")
        }
        How::Cut => {
            bytes.truncate(at);
            format!("cut from {all} to {at}")
        }
    };
    (bytes, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_is_damaged_in_every_way() {
        let names = ["log/000012.log", "log/000010.sst", "log/MANIFEST-000005", "state/1/LIVE", "log/LOG", "log/LOCK"];
        let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let mut seen = std::collections::BTreeSet::new();
        for choice in 0..1_u64 << 20 {
            if choice.is_multiple_of(977) {
                let (path, how) = choose(&files, choice).expect("there are files");
                seen.insert((path.display().to_string(), format!("{how:?}")));
            }
        }
        assert_eq!(seen.len(), 12, "{seen:?}");
        assert!(!seen.iter().any(|(path, _)| path.ends_with("LOG") || path.ends_with("LOCK")));
    }

    #[test]
    fn a_refusal_is_one_line_and_soon() {
        let line = |text: &str| text.to_owned();
        let (info, error) = (line("… INFO everstep: starting"), line("… ERROR everstep: storage failed"));
        let refusal = line("everstep: storage: opening the log: Corruption");
        let second = Duration::from_secs(1);
        let one = [info.clone(), refusal.clone()];
        assert!(refused(&one, second, "exit status: 1").is_ok_and(|told| told.contains("Corruption")));
        assert!(refused(std::slice::from_ref(&error), second, "exit status: 70").is_ok());
        assert!(refused(&one, second, "signal: 6 (SIGABRT)").is_err());
        assert!(refused(&one, 6 * second, "exit status: 1").is_err());
        assert!(refused(&[info], second, "exit status: 1").is_err());
        assert!(refused(&[error, refusal], second, "exit status: 70").is_err());
    }

    #[test]
    fn spoiled_bytes_are_others() {
        let bytes: Vec<u8> = (1..=100).collect();
        for how in [How::Flip, How::Blank, How::Cut] {
            assert_ne!(spoil(bytes.clone(), how, 140).0, bytes, "{how:?}");
        }
        assert_eq!(spoil(bytes.clone(), How::Cut, 140).0, bytes[..40]);
        assert_eq!(spoil(Vec::new(), How::Flip, 3).0, Vec::<u8>::new());
    }
}
