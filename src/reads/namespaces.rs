//! Namespaces as clients see them (SEMANTICS B2, B24), read from the system shard.

use proto::temporal::api::enums::v1::{NamespaceState, ReplicationState};
use proto::temporal::api::operatorservice::v1::ListSearchAttributesResponse;
use proto::temporal::api::replication::v1::{ClusterReplicationConfig, NamespaceReplicationConfig};
use proto::temporal::api::workflowservice::v1::{DescribeNamespaceResponse, GetSearchAttributesResponse};
use statemachine::reject::Decided;
use statemachine::{state, tables, Kv, Reject};

use super::search_attributes::{PREDEFINED, SYSTEM};

/// Namespaces of one page, and the default.
pub const PAGE_NAMESPACES_MAX: usize = 1000;

/// The namespace with this name, or without a name with this id.
pub fn find(kv: &dyn Kv, name: &str, id: &str) -> Decided<state::Namespace> {
    match (name.is_empty(), id.is_empty()) {
        (false, false) => {
            let why = "GetNamespace operation failed.  Both ID and Name specified in request.";
            Err(Reject::invalid_argument(why).into())
        }
        (true, true) => Err(Reject::invalid_argument("Namespace not set on request.").into()),
        (false, true) => {
            let row = tables::namespace_by_name(kv, name)?;
            row.ok_or_else(|| Reject::namespace_not_found(name).into())
        }
        (true, false) => {
            let row = tables::namespace(kv, id)?.filter(|row| !is_deleted(row));
            row.ok_or_else(|| Reject::namespace_not_found(id).into())
        }
    }
}

fn is_deleted(row: &state::Namespace) -> bool {
    row.info.as_ref().is_some_and(|info| info.state == NamespaceState::Deleted as i32)
}

/// One namespace, but for what the configuration says of all of them.
pub fn describe(row: &state::Namespace, cluster_name: &str) -> DescribeNamespaceResponse {
    let mut info = row.info.clone().unwrap_or_default();
    info.id.clone_from(&row.id);
    let mut config = row.config.clone().unwrap_or_default();
    config.bad_binaries.get_or_insert_default();
    DescribeNamespaceResponse {
        namespace_info: Some(info),
        config: Some(config),
        replication_config: Some(NamespaceReplicationConfig {
            active_cluster_name: cluster_name.to_owned(),
            clusters: vec![ClusterReplicationConfig { cluster_name: cluster_name.to_owned(), ..Default::default() }],
            state: ReplicationState::Normal as i32,
        }),
        is_global_namespace: row.is_global,
        ..Default::default()
    }
}

/// A page of namespaces in order of their names, and its last name if there are more. The token is the last name of
/// the page before.
pub fn list(
    kv: &dyn Kv,
    page_size: i32,
    token: &[u8],
    include_deleted: bool,
) -> Decided<(Vec<state::Namespace>, Option<String>)> {
    let after = std::str::from_utf8(token).map_err(|_| Reject::invalid_argument("Invalid NextPageToken."))?;
    let size = usize::try_from(page_size).ok().filter(|size| (1..=PAGE_NAMESPACES_MAX).contains(size));
    let size = size.unwrap_or(PAGE_NAMESPACES_MAX);
    let mut rows = tables::namespaces(kv, (!after.is_empty()).then_some(after), size + 1)?;
    let more = rows.len() > size;
    rows.truncate(size);
    let last = rows.last().and_then(|row| row.info.as_ref()).map(|info| info.name.clone());
    rows.retain(|row| include_deleted || !is_deleted(row));
    Ok((rows, last.filter(|_| more)))
}

/// The attributes of a namespace, its own apart from those that every namespace has.
pub fn list_search_attributes(row: &state::Namespace) -> ListSearchAttributesResponse {
    let system = SYSTEM.iter().copied().chain(PREDEFINED.iter().map(|(name, kind, _)| (*name, *kind)));
    ListSearchAttributesResponse {
        custom_attributes: row.search_attributes.clone(),
        system_attributes: system.map(|(name, kind)| (name.to_owned(), kind as i32)).collect(),
        ..Default::default()
    }
}

/// The attributes that every namespace has.
pub fn get_search_attributes() -> GetSearchAttributesResponse {
    let none = list_search_attributes(&state::Namespace::default());
    GetSearchAttributesResponse { keys: none.system_attributes }
}

#[cfg(test)]
mod tests {
    use statemachine::reject::Stop;
    use statemachine::{MemoryKv, Txn};

    use super::*;
    use proto::temporal::api::namespace::v1::NamespaceInfo;

    fn row(n: u8, name: &str, state: NamespaceState) -> state::Namespace {
        state::Namespace {
            id: tables::id_text(&[n; 16]),
            info: Some(NamespaceInfo { name: name.into(), state: state as i32, ..Default::default() }),
            ..Default::default()
        }
    }

    fn store(rows: &[state::Namespace]) -> MemoryKv {
        let mut kv = MemoryKv::default();
        let empty = MemoryKv::default();
        let mut txn = Txn::new(&empty);
        rows.iter().for_each(|row| tables::put_namespace(&mut txn, row));
        kv.write(txn.into_writes());
        kv
    }

    fn refusal<T: std::fmt::Debug>(found: Decided<T>) -> String {
        match found {
            Err(Stop::Reject(reject)) => reject.message().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn found_by_name_or_by_id() {
        let kv = store(&[row(1, "one", NamespaceState::Registered), row(2, "gone", NamespaceState::Deleted)]);
        let id = tables::id_text(&[1; 16]);
        assert_eq!(find(&kv, "one", "").expect("by name").id, id);
        assert_eq!(find(&kv, "", &id).expect("by id").id, id);
        assert_eq!(refusal(find(&kv, "nowhere", "")), "Namespace nowhere is not found.");
        let gone = tables::id_text(&[2; 16]);
        assert_eq!(refusal(find(&kv, "", &gone)), format!("Namespace {gone} is not found."));
        assert!(refusal(find(&kv, "one", &id)).starts_with("GetNamespace operation failed."));
        assert_eq!(refusal(find(&kv, "", "")), "Namespace not set on request.");
    }

    #[test]
    fn pages_give_every_name_once() {
        let states = [NamespaceState::Registered, NamespaceState::Deleted];
        let rows: Vec<_> = (0..7).map(|n| row(n, &format!("ns-{n}"), states[usize::from(n == 3)])).collect();
        let kv = store(&rows);
        for (size, include_deleted) in [(1, false), (2, true), (3, false), (7, true), (0, false), (5000, true)] {
            let (mut token, mut names) = (Vec::new(), Vec::new());
            loop {
                let (page, next) = list(&kv, size, &token, include_deleted).expect("a page");
                names.extend(page.into_iter().filter_map(|row| row.info).map(|info| info.name));
                let Some(next) = next else { break };
                token = next.into_bytes();
            }
            assert_eq!(names.len(), if include_deleted { 7 } else { 6 }, "pages of {size}");
            assert!(names.is_sorted());
        }
        assert_eq!(refusal(list(&kv, 1, &[0xff], false)), "Invalid NextPageToken.");
    }

    #[test]
    fn attributes_are_told_apart() {
        let mut namespace = row(1, "one", NamespaceState::Registered);
        namespace.search_attributes.insert("Color".into(), 2);
        let listed = list_search_attributes(&namespace);
        assert_eq!(listed.custom_attributes.len(), 1);
        assert_eq!(listed.system_attributes.len(), 33);
        assert_eq!(get_search_attributes().keys.get("StartTime"), Some(&6));
        assert!(!get_search_attributes().keys.contains_key("Color"));
    }
}
