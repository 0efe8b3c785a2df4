//! What becomes of an id that is in use: reuse and conflict policies, made explicit.

use proto::temporal::api::enums::v1::{WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse};

use super::{refuse, Checked};

/// Defaults of a start: an id may be used again, a running one is a conflict.
pub fn start_policies(reuse: &mut i32, conflict: &mut i32) -> Checked {
    compatible(*reuse, *conflict)?;
    make_explicit(reuse, conflict, Conflict::Fail);
    Ok(())
}

/// Signal-with-start signals a running workflow; to fail because it runs is not offered.
pub fn signal_with_start_policies(reuse: &mut i32, conflict: &mut i32) -> Checked {
    if *conflict == Conflict::Fail as i32 {
        return Err(refuse(
            "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation.",
        ));
    }
    compatible(*reuse, *conflict)?;
    make_explicit(reuse, conflict, Conflict::UseExisting);
    Ok(())
}

#[expect(deprecated, reason = "clients still send the older reuse policy")]
fn compatible(reuse: i32, conflict: i32) -> Checked {
    if reuse == Reuse::TerminateIfRunning as i32 && conflict != Conflict::Unspecified as i32 {
        return Err(refuse(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together \
             with a WorkflowIDConflictPolicy",
        ));
    }
    if reuse == Reuse::RejectDuplicate as i32 && conflict == Conflict::TerminateExisting as i32 {
        return Err(refuse(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with \
             WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
        ));
    }
    Ok(())
}

#[expect(deprecated, reason = "clients still send the older reuse policy")]
fn make_explicit(reuse: &mut i32, conflict: &mut i32, default: Conflict) {
    if *reuse == Reuse::TerminateIfRunning as i32 {
        *reuse = Reuse::AllowDuplicate as i32;
        *conflict = Conflict::TerminateExisting as i32;
    }
    if *reuse == Reuse::Unspecified as i32 {
        *reuse = Reuse::AllowDuplicate as i32;
    }
    if *conflict == Conflict::Unspecified as i32 {
        *conflict = default as i32;
    }
}

#[cfg(test)]
mod tests {
    #![expect(deprecated, reason = "clients still send the older reuse policy")]

    use super::*;

    #[test]
    fn defaults_and_the_older_policy_become_explicit() {
        let cases = [
            (Reuse::Unspecified, Conflict::Unspecified, Reuse::AllowDuplicate, Conflict::Fail),
            (Reuse::TerminateIfRunning, Conflict::Unspecified, Reuse::AllowDuplicate, Conflict::TerminateExisting),
            (Reuse::RejectDuplicate, Conflict::UseExisting, Reuse::RejectDuplicate, Conflict::UseExisting),
        ];
        for (reuse, conflict, expected_reuse, expected_conflict) in cases {
            let (mut reuse, mut conflict) = (reuse as i32, conflict as i32);
            start_policies(&mut reuse, &mut conflict).expect("compatible");
            assert_eq!((reuse, conflict), (expected_reuse as i32, expected_conflict as i32));
        }
    }

    #[test]
    fn signal_with_start_uses_the_running_workflow_by_default() {
        let (mut reuse, mut conflict) = (0, 0);
        signal_with_start_policies(&mut reuse, &mut conflict).expect("compatible");
        assert_eq!(conflict, Conflict::UseExisting as i32);
        let mut fail = Conflict::Fail as i32;
        assert!(signal_with_start_policies(&mut reuse, &mut fail).is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        let (mut reuse, mut conflict) = (Reuse::TerminateIfRunning as i32, Conflict::Fail as i32);
        assert!(start_policies(&mut reuse, &mut conflict).is_err());
        let (mut reuse, mut conflict) = (Reuse::RejectDuplicate as i32, Conflict::TerminateExisting as i32);
        assert!(start_policies(&mut reuse, &mut conflict).is_err());
    }
}
