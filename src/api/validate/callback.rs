//! Completion callbacks. No address is allowed until a setting allows it (`callbacks.allowed_addresses`), as in
//! Temporal's default, so that a client cannot make the server call where it should not.

use proto::temporal::api::common::v1::callback::{Nexus, Variant};
use proto::temporal::api::common::v1::Callback;
use statemachine::callback::PER_RUN_MAX;
use statemachine::reject::code;
use statemachine::Reject;

use super::url::{self, Url};
use super::{refuse, Checked};
use crate::config::AllowedAddress;

const URL_BYTES_MAX: usize = 1000;
const HEADER_BYTES_MAX: usize = 8192;
/// Addresses inside Temporal, which need no rule.
const OWN_URLS: [&str; 2] = ["temporal://system", "temporal://internal"];

/// Names of headers become small letters.
pub fn callbacks(callbacks: &mut [Callback], allowed: &[AllowedAddress]) -> Checked {
    if callbacks.len() > PER_RUN_MAX {
        return Err(refuse(format!("cannot attach more than {PER_RUN_MAX} callbacks to a workflow")));
    }
    callbacks.iter_mut().try_for_each(|callback| match &mut callback.variant {
        Some(Variant::Nexus(nexus)) => one(nexus, allowed),
        Some(Variant::Internal(_) | Variant::NexusHandler(_)) | None => {
            Err(Reject::new(code::UNIMPLEMENTED, "unknown callback variant: <nil>"))
        }
    })
}

fn one(callback: &mut Nexus, allowed: &[AllowedAddress]) -> Checked {
    if callback.url.len() > URL_BYTES_MAX {
        return Err(refuse(format!("invalid url: url length longer than max length allowed of {URL_BYTES_MAX}")));
    }
    if !OWN_URLS.contains(&callback.url.as_str()) {
        address(&callback.url, allowed)?;
    }
    let header_bytes: usize = callback.header.iter().map(|(name, value)| name.len() + value.len()).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(refuse(format!("invalid header: header size longer than max allowed size of {HEADER_BYTES_MAX}")));
    }
    callback.header =
        std::mem::take(&mut callback.header).into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    Ok(())
}

/// The first rule for this host decides whether http will do.
fn address(given: &str, allowed: &[AllowedAddress]) -> Checked {
    let Url { scheme, host } = url::parse(given).map_err(|why| refuse(format!("invalid callback url: {why}")))?;
    if scheme != "http" && scheme != "https" {
        return Err(refuse(format!("invalid url: unknown scheme: {given}")));
    }
    if host.is_empty() {
        return Err(refuse("invalid url: missing host"));
    }
    match allowed.iter().find(|rule| rule.matches(host)) {
        None => Err(refuse(format!("invalid url: url does not match any configured callback address: {given}"))),
        Some(rule) if scheme == "http" && !rule.allow_insecure => {
            Err(refuse(format!("invalid url: callback address does not allow insecure connections: {given}")))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str, header: &[(&str, &str)]) -> Callback {
        let header = header.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Callback { variant: Some(Variant::Nexus(Nexus { url: url.into(), header })), ..Default::default() }
    }

    fn rule(pattern: &str, allow_insecure: bool) -> AllowedAddress {
        AllowedAddress { pattern: pattern.into(), allow_insecure }
    }

    fn refusal(mut given: Vec<Callback>, allowed: &[AllowedAddress]) -> String {
        callbacks(&mut given, allowed).map_or_else(|reject| reject.message().to_owned(), |()| "ok".into())
    }

    #[test]
    fn refusals() {
        let long = format!("http://localhost/{}", "x".repeat(1000));
        let big = "x".repeat(9000);
        let any = [rule("*", true)];
        let cases = [
            (vec![to("http://localhost/x", &[]); 33], "cannot attach more than 32 callbacks to a workflow"),
            (vec![to("localhost/x", &[])], "invalid url: unknown scheme: localhost/x"),
            (vec![to("", &[])], "invalid url: unknown scheme: "),
            (vec![to("temporal://system/x", &[])], "invalid url: unknown scheme: temporal://system/x"),
            (vec![to("http://", &[])], "invalid url: missing host"),
            (vec![to(&long, &[])], "invalid url: url length longer than max length allowed of 1000"),
            (
                vec![to("http://localhost/", &[("h", &big)])],
                "invalid header: header size longer than max allowed size of 8192",
            ),
            (vec![Callback::default()], "unknown callback variant: <nil>"),
        ];
        for (given, expected) in cases {
            assert_eq!(refusal(given, &any), expected);
        }
    }

    #[test]
    fn only_what_is_allowed() {
        let local = || vec![to("http://localhost:80/", &[])];
        let outside = "invalid url: url does not match any configured callback address: http://localhost:80/";
        assert_eq!(refusal(local(), &[]), outside);
        assert_eq!(refusal(local(), &[rule("localhost", true)]), outside);
        let insecure = "invalid url: callback address does not allow insecure connections: http://localhost:80/";
        assert_eq!(refusal(local(), &[rule("localhost:*", false), rule("*", true)]), insecure);
        assert_eq!(refusal(local(), &[rule("localhost:*", true)]), "ok");
        assert_eq!(refusal(vec![to("https://localhost:80/", &[])], &[rule("localhost:*", false)]), "ok");
        assert_eq!(refusal(vec![to("temporal://system", &[])], &[]), "ok");
    }

    #[test]
    fn header_names_become_small() {
        let mut given = [to("temporal://system", &[("X-Mine", "One")])];
        callbacks(&mut given, &[]).expect("allowed");
        assert_eq!(given[0], to("temporal://system", &[("x-mine", "One")]));
    }
}
