//! Namespaces: registered, changed, deprecated, deleted (SEMANTICS B24).

use std::collections::BTreeMap;

use proto::temporal::api::enums::v1::{ArchivalState, IndexedValueType, NamespaceState};
use proto::temporal::api::errordetails::v1::NamespaceAlreadyExistsFailure;
use proto::temporal::api::namespace::v1::{BadBinaries, BadBinaryInfo, NamespaceConfig, NamespaceInfo};
use proto::temporal::api::workflowservice::v1::{RegisterNamespaceRequest, UpdateNamespaceRequest};

use crate::op::{answer, ChangeSearchAttributes, DeleteNamespace, DeprecateNamespace, Done, NamespaceAnswer};
use crate::op::{RegisterNamespace, UpdateNamespace};
use crate::reject::{code, Decided};
use crate::state::Sweep;
use crate::system::sweep;
use crate::time::{duration, nanos_or_zero, timestamp, DAY};
use crate::visibility::attributes;
use crate::{state, tables, Context, Effect, Fault, Reject};

pub const SYSTEM_NAME: &str = "temporal-system";
pub const SYSTEM_ID: &str = "32049b68-7872-4094-8e63-d0dd59896a83";
const BAD_BINARIES_MAX: usize = 10;

pub fn register(ctx: &mut Context<'_, '_>, op: &RegisterNamespace) -> Decided<answer::Kind> {
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("namespace op", "no request"))?;
    if tables::namespace_by_name(ctx.txn, &request.namespace)?.is_some() {
        return Err(Reject::with_detail(
            code::ALREADY_EXISTS,
            format!("Namespace \"{}\" already exists", request.namespace),
            &NamespaceAlreadyExistsFailure::default(),
        )
        .into());
    }
    let namespace = create(ctx, request);
    Ok(answer::Kind::Namespace(NamespaceAnswer { namespace: Some(namespace) }))
}

/// Writes a new namespace; the name is free.
pub fn create(ctx: &mut Context<'_, '_>, request: &RegisterNamespaceRequest) -> state::Namespace {
    let id = ctx.new_id();
    let row = state::Namespace {
        id: id.clone(),
        info: Some(NamespaceInfo {
            name: request.namespace.clone(),
            state: NamespaceState::Registered as i32,
            description: request.description.clone(),
            owner_email: request.owner_email.clone(),
            data: request.data.clone(),
            id,
            ..Default::default()
        }),
        config: Some(config(request.workflow_execution_retention_period.unwrap_or_else(|| duration(DAY)))),
        is_global: false,
        created: ctx.now,
        ..Default::default()
    };
    put(ctx, &row);
    row
}

/// The namespace that tools expect to exist.
pub fn create_system(ctx: &mut Context<'_, '_>) {
    let row = state::Namespace {
        id: SYSTEM_ID.into(),
        info: Some(NamespaceInfo {
            name: SYSTEM_NAME.into(),
            state: NamespaceState::Registered as i32,
            description: "Temporal internal system namespace".into(),
            owner_email: "temporal-core@temporal.io".into(),
            id: SYSTEM_ID.into(),
            ..Default::default()
        }),
        config: Some(config(duration(7 * DAY))),
        created: ctx.now,
        ..Default::default()
    };
    put(ctx, &row);
}

fn config(retention: prost_types::Duration) -> NamespaceConfig {
    NamespaceConfig {
        workflow_execution_retention_ttl: Some(retention),
        bad_binaries: Some(BadBinaries::default()),
        history_archival_state: ArchivalState::Disabled as i32,
        visibility_archival_state: ArchivalState::Disabled as i32,
        ..Default::default()
    }
}

fn put(ctx: &mut Context<'_, '_>, row: &state::Namespace) {
    tables::put_namespace(ctx.txn, row);
    let name = row.info.as_ref().map(|info| info.name.clone()).unwrap_or_default();
    ctx.txn.effect(Effect::NamespaceChanged { id: row.id.clone(), name });
}

fn find(ctx: &Context<'_, '_>, name: &str) -> Decided<state::Namespace> {
    Ok(tables::namespace_by_name(ctx.txn, name)?.ok_or_else(|| Reject::namespace_not_found(name))?)
}

pub fn update(ctx: &mut Context<'_, '_>, op: &UpdateNamespace) -> Decided<answer::Kind> {
    let request = op.request.as_ref().ok_or_else(|| Fault::corrupt("namespace op", "no request"))?;
    let mut row = find(ctx, &request.namespace)?;
    let retention_before = retention(&row);
    update_info(&mut row, request)?;
    update_config(ctx, &mut row, request)?;
    let retention = retention(&row);
    if retention != retention_before {
        sweep::begin(ctx, &mut row, Sweep { retention, ..Default::default() })?;
    }
    put(ctx, &row);
    Ok(answer::Kind::Namespace(NamespaceAnswer { namespace: Some(row) }))
}

/// How long closed runs are kept, ns.
fn retention(row: &state::Namespace) -> i64 {
    nanos_or_zero(row.config.as_ref().and_then(|config| config.workflow_execution_retention_ttl.as_ref()))
}

fn update_info(row: &mut state::Namespace, request: &UpdateNamespaceRequest) -> Decided<()> {
    let Some(sent) = &request.update_info else { return Ok(()) };
    let info = row.info.get_or_insert_default();
    if !sent.description.is_empty() {
        info.description.clone_from(&sent.description);
    }
    if !sent.owner_email.is_empty() {
        info.owner_email.clone_from(&sent.owner_email);
    }
    info.data.extend(sent.data.clone());
    if sent.state != NamespaceState::Unspecified as i32 && sent.state != info.state {
        if !may_become(info.state(), NamespaceState::try_from(sent.state).ok()) {
            return Err(Reject::invalid_argument("Invalid namespace state update.").into());
        }
        info.state = sent.state;
    }
    Ok(())
}

/// A namespace only ever comes closer to its end (Temporal: namespace_handler.go, validateStateUpdate).
fn may_become(old: NamespaceState, new: Option<NamespaceState>) -> bool {
    use NamespaceState::{Deleted, Deprecated, Registered, Unspecified};
    match old {
        Registered => matches!(new, Some(Deprecated | Deleted)),
        Deprecated => new == Some(Deleted),
        Deleted | Unspecified => false,
    }
}

fn update_config(ctx: &Context<'_, '_>, row: &mut state::Namespace, request: &UpdateNamespaceRequest) -> Decided<()> {
    let config = row.config.get_or_insert_default();
    if let Some(sent) = &request.config {
        if let Some(retention) = &sent.workflow_execution_retention_ttl {
            config.workflow_execution_retention_ttl = Some(*retention);
        }
        if let Some(bad) = &sent.bad_binaries {
            let stored = config.bad_binaries.get_or_insert_default();
            for (checksum, info) in &bad.binaries {
                let info = BadBinaryInfo { create_time: Some(timestamp(ctx.now)), ..info.clone() };
                stored.binaries.insert(checksum.clone(), info);
            }
            if stored.binaries.len() > BAD_BINARIES_MAX {
                let why = format!("Total resetBinaries cannot exceed the max limit: {BAD_BINARIES_MAX}");
                return Err(Reject::invalid_argument(why).into());
            }
        }
        update_aliases(&mut config.custom_search_attribute_aliases, &sent.custom_search_attribute_aliases)?;
    }
    if !request.delete_bad_binary.is_empty() {
        let known = config.bad_binaries.as_mut().and_then(|bad| bad.binaries.remove(&request.delete_bad_binary));
        if known.is_none() {
            return Err(Reject::invalid_argument(format!(
                "Bad binary checksum {} doesn't exists.",
                request.delete_bad_binary
            ))
            .into());
        }
    }
    Ok(())
}

/// By field: no alias takes it away, one that another field has is passed over.
fn update_aliases(stored: &mut BTreeMap<String, String>, sent: &BTreeMap<String, String>) -> Decided<()> {
    let before = stored.clone();
    for (field, alias) in sent {
        if alias.is_empty() {
            stored.remove(field);
        } else if before.values().any(|known| known == alias) {
            continue;
        } else if before.contains_key(field) {
            return Err(Reject::invalid_argument("Custom search attribute field name already allocated.").into());
        } else {
            stored.insert(field.clone(), alias.clone());
        }
    }
    Ok(())
}

pub fn deprecate(ctx: &mut Context<'_, '_>, op: &DeprecateNamespace) -> Decided<answer::Kind> {
    let mut row = find(ctx, &op.namespace)?;
    row.info.get_or_insert_default().state = NamespaceState::Deprecated as i32;
    put(ctx, &row);
    Ok(answer::Kind::Done(Done {}))
}

/// Marks a namespace deleted and frees its name; a sweep removes its runs, and then it.
pub fn delete(ctx: &mut Context<'_, '_>, op: &DeleteNamespace) -> Decided<answer::Kind> {
    let mut row = if op.namespace.is_empty() {
        tables::namespace(ctx.txn, &op.namespace_id)?.ok_or_else(|| Reject::namespace_not_found(&op.namespace_id))?
    } else {
        find(ctx, &op.namespace)?
    };
    if row.id == SYSTEM_ID {
        return Err(Reject::failed_precondition("unable to delete system namespace").into());
    }
    let info = row.info.get_or_insert_default();
    tables::delete_namespace_name(ctx.txn, &info.name);
    let mut length = 5;
    let mut name = format!("{}-deleted-{}", info.name, &row.id[..length]);
    while length < row.id.len() && tables::namespace_by_name(ctx.txn, &name)?.is_some() {
        length += 1;
        name = format!("{}-deleted-{}", info.name, &row.id[..length]);
    }
    let old_name = std::mem::replace(&mut info.name, name);
    info.state = NamespaceState::Deleted as i32;
    let keep_until = ctx.now.saturating_add(op.keep_for.max(0));
    sweep::begin(ctx, &mut row, Sweep { drop: true, keep_until, ..Default::default() })?;
    ctx.txn.effect(Effect::NamespaceChanged { id: row.id.clone(), name: old_name });
    put(ctx, &row);
    Ok(answer::Kind::Namespace(NamespaceAnswer { namespace: Some(row) }))
}

/// Adds and removes custom search attributes. One that exists, and one that does not, is passed over.
pub fn change_search_attributes(ctx: &mut Context<'_, '_>, op: &ChangeSearchAttributes) -> Decided<answer::Kind> {
    let mut row = find(ctx, &op.namespace)?;
    for (name, kind) in &op.add {
        let reserved = attributes::SYSTEM.iter().any(|(known, _)| known == name)
            || attributes::PREDEFINED.iter().any(|(known, ..)| known == name)
            || name.starts_with("Temporal");
        if reserved {
            return Err(Reject::invalid_argument(format!("Search attribute {name} is reserved by system.")).into());
        }
        if !matches!(IndexedValueType::try_from(*kind), Ok(known) if known != IndexedValueType::Unspecified) {
            return Err(Reject::invalid_argument(format!("Unknown search attribute type: {kind}.")).into());
        }
        row.search_attributes.entry(name.clone()).or_insert(*kind);
    }
    for name in &op.remove {
        if attributes::SYSTEM.iter().any(|(known, _)| known == name) {
            return Err(
                Reject::invalid_argument(format!("Unable to remove non-custom search attributes: {name}.")).into()
            );
        }
        row.search_attributes.remove(name);
    }
    put(ctx, &row);
    Ok(answer::Kind::Namespace(NamespaceAnswer { namespace: Some(row) }))
}
