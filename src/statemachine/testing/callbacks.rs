//! What scripts say about completion callbacks.

use proto::temporal::api::common::v1::callback::{Nexus, Variant};
use proto::temporal::api::common::v1::Callback;

use super::script::{Script, Words};
use crate::op::{op::Kind, SettleCallback};
use crate::tables::{self, CallbackKey};
use crate::workflow::Run;

/// `callbacks=http://a,http://b` of a start.
pub(super) fn sent(words: &Words<'_>) -> Vec<Callback> {
    let urls = words.get("callbacks", "").split(',').filter(|url| !url.is_empty());
    let to = |url: &str| Variant::Nexus(Nexus { url: url.into(), ..Default::default() });
    urls.map(|url| Callback { variant: Some(to(url)), ..Default::default() }).collect()
}

fn run(script: &Script, words: &Words<'_>, workflow_id: &str) -> Option<Run> {
    let harness = &script.harness;
    match words.get("run", "") {
        "" => harness.run(workflow_id),
        number => {
            let run_id = harness.nth_run(workflow_id, number.parse().expect("a number"));
            crate::workflow::run::find(&harness.kv, &harness.namespace.id, workflow_id, &run_id).expect("no fault")
        }
    }
}

/// `callbacks w run=1`: the state of each, and what is to be delivered.
pub(super) fn show(script: &mut Script, words: &Words<'_>) {
    let workflow_id = words.pairs.first().map_or("w", |pair| pair.0);
    let rows = run(script, words, workflow_id)
        .map(|run| tables::callbacks(&script.harness.kv, run.key).expect("no fault"))
        .unwrap_or_default();
    for row in rows {
        let url = match row.callback.as_ref().and_then(|callback| callback.variant.as_ref()) {
            Some(Variant::Nexus(nexus)) => nexus.url.clone(),
            _ => String::new(),
        };
        let (state, attempt) =
            (row.state().as_str_name().trim_start_matches("CALLBACK_STATE_").to_owned(), row.attempt);
        let with = if row.request_id.is_empty() { String::new() } else { format!(" with {}", row.request_id) };
        let failure = row.last_failure.map(|failure| format!(": {}", failure.message)).unwrap_or_default();
        script.say(&format!("{} {url}{with} {state} attempt={attempt}{failure}", row.number));
    }
    let page = CallbackKey::page(&script.harness.kv, None, 10, 100).expect("no fault");
    let ready: Vec<_> = page.ready.iter().map(|key| format!("{} {}", key.destination, key.number)).collect();
    script.say(&format!("ready: {}", if ready.is_empty() { "nothing".to_owned() } else { ready.join(", ") }));
}

/// `settle 1 ok`, `settle 1 retry`, `settle 1 final`, of an attempt that is not the next one: `attempt=0`.
pub(super) fn settle(script: &mut Script, words: &Words<'_>) {
    let number = words.pairs[0].0.parse().expect("a number");
    let run = run(script, words, words.get("wf", "w")).expect("a run");
    let row = tables::callback(&script.harness.kv, run.key, number).expect("no fault").unwrap_or_default();
    let delivered = words.has("ok");
    let op = SettleCallback {
        namespace_id: run.row.namespace_id,
        workflow_id: run.row.workflow_id,
        run_id: run.row.run_id,
        number,
        attempt: words.get("attempt", &row.attempt.to_string()).parse().expect("a number"),
        delivered,
        message: if delivered { String::new() } else { "it said no".into() },
        retryable: words.has("retry"),
    };
    script.propose(Kind::SettleCallback(op));
}
