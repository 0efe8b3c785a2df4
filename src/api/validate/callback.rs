//! Completion callbacks. No address is allowed until a server setting allows it, as in Temporal's default
//! (`component.callbacks.allowedAddresses`), so that a client cannot make the server call where it should not.

use proto::temporal::api::common::v1::callback::{Nexus, Variant};
use proto::temporal::api::common::v1::Callback;
use statemachine::reject::code;
use statemachine::Reject;

use super::{refuse, Checked};

const COUNT_MAX: usize = 32;
const URL_BYTES_MAX: usize = 1000;
const HEADER_BYTES_MAX: usize = 8192;

pub fn callbacks(callbacks: &[Callback]) -> Checked {
    if callbacks.len() > COUNT_MAX {
        return Err(refuse(format!("cannot attach more than {COUNT_MAX} callbacks to a workflow")));
    }
    callbacks.iter().try_for_each(|callback| match &callback.variant {
        Some(Variant::Nexus(nexus)) => one(nexus),
        Some(Variant::Internal(_) | Variant::NexusHandler(_)) | None => {
            Err(Reject::new(code::UNIMPLEMENTED, "unknown callback variant: <nil>"))
        }
    })
}

fn one(callback: &Nexus) -> Checked {
    let url = &callback.url;
    if url.len() > URL_BYTES_MAX {
        return Err(refuse(format!("invalid url: url length longer than max length allowed of {URL_BYTES_MAX}")));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(refuse(format!("invalid url: unknown scheme: {url}")));
    }
    let header_bytes: usize = callback.header.iter().map(|(name, value)| name.len() + value.len()).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(refuse(format!("invalid header: header size longer than max allowed size of {HEADER_BYTES_MAX}")));
    }
    Err(refuse(format!("invalid url: url does not match any configured callback address: {url}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str, header: &[(&str, &str)]) -> Callback {
        let header = header.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Callback { variant: Some(Variant::Nexus(Nexus { url: url.into(), header })), ..Default::default() }
    }

    #[test]
    fn refusals() {
        let long = format!("http://localhost/{}", "x".repeat(1000));
        let big = "x".repeat(9000);
        let cases = [
            (vec![to("http://localhost/x", &[]); 33], "cannot attach more than 32 callbacks to a workflow"),
            (vec![to("localhost/x", &[])], "invalid url: unknown scheme: localhost/x"),
            (vec![to(&long, &[])], "invalid url: url length longer than max length allowed of 1000"),
            (
                vec![to("http://localhost/", &[("h", &big)])],
                "invalid header: header size longer than max allowed size of 8192",
            ),
            (
                vec![to("http://localhost/", &[])],
                "invalid url: url does not match any configured callback address: http://localhost/",
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(callbacks(&given).expect_err(expected).message(), expected);
        }
    }
}
