//! Links that a caller attaches.

use prost::Message;
use proto::temporal::api::common::v1::link::workflow_event::Reference;
use proto::temporal::api::common::v1::link::{Variant, WorkflowEvent};
use proto::temporal::api::common::v1::Link;

use super::{refuse, Checked};
use crate::config::Limits;

pub fn links<'l>(links: impl IntoIterator<Item = &'l Link>, limits: &Limits) -> Checked {
    let links: Vec<_> = links.into_iter().collect();
    if links.len() > limits.links_per_request {
        let max = limits.links_per_request;
        return Err(refuse(format!("cannot attach more than {max} links per request, got {}", links.len())));
    }
    links.into_iter().try_for_each(|link| one(link, limits.link_bytes))
}

fn one(link: &Link, bytes_max: usize) -> Checked {
    let size = link.encoded_len();
    if size > bytes_max {
        return Err(refuse(format!("link exceeds allowed size of {bytes_max}, got {size}")));
    }
    match &link.variant {
        Some(Variant::WorkflowEvent(event)) => workflow_event(event),
        Some(Variant::BatchJob(job)) if job.job_id.is_empty() => {
            Err(refuse("batch job link must not have an empty job ID"))
        }
        Some(Variant::BatchJob(_)) => Ok(()),
        // Temporal 1.31 takes no other kinds.
        Some(Variant::Activity(_) | Variant::NexusOperation(_) | Variant::Workflow(_) | Variant::Callback(_))
        | None => Err(refuse("unsupported link variant")),
    }
}

fn workflow_event(event: &WorkflowEvent) -> Checked {
    for (field, value) in
        [("namespace", &event.namespace), ("workflow ID", &event.workflow_id), ("run ID", &event.run_id)]
    {
        if value.is_empty() {
            return Err(refuse(format!("workflow event link must not have an empty {field} field")));
        }
    }
    match event.reference {
        Some(Reference::EventRef(event)) if event.event_type == 0 && event.event_id != 0 => {
            Err(refuse("workflow event link ref cannot have an unspecified event type and a non-zero event ID"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::link::{workflow_event::EventReference, BatchJob};

    use super::*;

    fn to(workflow_id: &str, reference: Option<Reference>) -> Link {
        let (namespace, run_id) = ("ns".into(), "run".into());
        let event = WorkflowEvent { namespace, workflow_id: workflow_id.into(), run_id, reference };
        Link { variant: Some(Variant::WorkflowEvent(event)) }
    }

    #[test]
    fn refusals() {
        let untyped = Some(Reference::EventRef(EventReference { event_id: 3, event_type: 0 }));
        let job = Link { variant: Some(Variant::BatchJob(BatchJob::default())) };
        let cases = [
            (vec![to("", None)], "workflow event link must not have an empty workflow ID field"),
            (
                vec![to("w", untyped)],
                "workflow event link ref cannot have an unspecified event type and a non-zero event ID",
            ),
            (vec![Link::default()], "unsupported link variant"),
            (vec![job], "batch job link must not have an empty job ID"),
            (vec![to("w", None); 11], "cannot attach more than 10 links per request, got 11"),
        ];
        for (given, expected) in cases {
            assert_eq!(links(&given, &Limits::default()).expect_err(expected).message(), expected);
        }
        let big = links(&[to(&"x".repeat(5000), None)], &Limits::default()).expect_err("too big");
        assert!(big.message().starts_with("link exceeds allowed size of 4000, got 50"), "{}", big.message());
        assert!(links(&[to("w", None)], &Limits::default()).is_ok());
    }
}
