//! Which clients this server works with, and which servers a client does (Temporal: common/headers/version_checker.go).

use proto::temporal::api::errordetails::v1 as details;
use statemachine::reject::code;
use statemachine::Reject;

/// The release of Temporal whose behaviour this server has; clients decide by it what they may use.
pub const SERVER_VERSION: &str = "1.31.2";

/// Clients that say who they are, with the versions accepted of each.
pub const SUPPORTED_CLIENTS: [(&str, &str); 8] = [
    ("Nexus-go-sdk", "<2.0.0"),
    ("temporal-cli", "<2.0.0"),
    ("temporal-go", "<2.0.0"),
    ("temporal-java", "<2.0.0"),
    ("temporal-php", "<2.0.0"),
    ("temporal-server", "<2.0.0"),
    ("temporal-typescript", "<2.0.0"),
    ("temporal-ui", "<3.0.0"),
];

/// What a client says about itself in its headers; empty is unsaid.
#[derive(Debug, Clone, Copy, Default)]
pub struct Client<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub supported_server_versions: &'a str,
}

/// Nothing is checked of a client that does not say both its name and its version.
pub fn check(client: Client<'_>) -> Result<(), Reject> {
    if client.name.is_empty() || client.version.is_empty() {
        return Ok(());
    }
    let known = SUPPORTED_CLIENTS.iter().find(|(name, _)| *name == client.name);
    if let Some((_, supported)) = known {
        let version = Version::parse_whole(client.version)
            .ok_or_else(|| Reject::invalid_argument("Unable to parse client version: not a semantic version"))?;
        if !in_range(supported, version).unwrap_or(true) {
            return Err(client_not_supported(client, supported));
        }
    }
    if client.supported_server_versions.is_empty() {
        return Ok(());
    }
    let server = Version::parse_whole(SERVER_VERSION).expect("our own version is one");
    match in_range(client.supported_server_versions, server) {
        Some(true) => Ok(()),
        Some(false) => Err(server_not_supported(client.supported_server_versions)),
        None => Err(Reject::invalid_argument("Unable to parse supported server versions: not a range of versions")),
    }
}

fn client_not_supported(client: Client<'_>, supported: &str) -> Reject {
    let Client { name, version, .. } = client;
    Reject::with_detail(
        code::FAILED_PRECONDITION,
        format!("Client version {version} is not supported. Server supports {name} versions: {supported}"),
        &details::ClientVersionNotSupportedFailure {
            client_version: version.into(),
            client_name: name.into(),
            supported_versions: supported.into(),
        },
    )
}

fn server_not_supported(wanted: &str) -> Reject {
    Reject::with_detail(
        code::FAILED_PRECONDITION,
        format!(
            "Server version {SERVER_VERSION} is not supported by client. Client supports server versions: {wanted}"
        ),
        &details::ServerVersionNotSupportedFailure {
            server_version: SERVER_VERSION.into(),
            client_supported_server_versions: wanted.into(),
        },
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u64; 3]);

impl Version {
    /// Three numbers; what follows `-` or `+` is not looked at.
    fn parse_whole(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?;
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        let version = Self([parts.next()??, parts.next()??, parts.next()??]);
        parts.next().is_none().then_some(version)
    }
}

/// A range such as `>=1.0.0 <2.0.0 || 3.0.0`; `None` if it cannot be read.
fn in_range(range: &str, version: Version) -> Option<bool> {
    let mut any = false;
    for alternative in range.split("||") {
        let mut all = true;
        let mut comparisons = 0;
        for comparison in alternative.split_whitespace() {
            all &= compare(comparison, version)?;
            comparisons += 1;
        }
        if comparisons == 0 {
            return None;
        }
        any |= all;
    }
    Some(any)
}

fn compare(comparison: &str, version: Version) -> Option<bool> {
    let digits = comparison.find(|letter: char| letter.is_ascii_digit())?;
    let (operator, other) = comparison.split_at(digits);
    let other = Version::parse_whole(other)?;
    match operator {
        "" | "=" | "==" => Some(version == other),
        "!" | "!=" => Some(version != other),
        ">" => Some(version > other),
        ">=" => Some(version >= other),
        "<" => Some(version < other),
        "<=" => Some(version <= other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(name: &str, version: &str, supported_server_versions: &str) -> i32 {
        check(Client { name, version, supported_server_versions }).map_or_else(|reject| reject.code(), |()| 0)
    }

    #[test]
    fn clients() {
        assert_eq!(code_of("temporal-go", "1.99.0", ""), 0);
        assert_eq!(code_of("temporal-go", "2.0.0", ""), code::FAILED_PRECONDITION);
        assert_eq!(code_of("temporal-ui", "2.50.0", ""), 0);
        assert_eq!(code_of("temporal-ui", "3.0.0", ""), code::FAILED_PRECONDITION);
        assert_eq!(code_of("somebody", "77.0.0", ""), 0);
        assert_eq!(code_of("temporal-java", "one", ""), code::INVALID_ARGUMENT);
        assert_eq!(code_of("temporal-go", "1.2.3-rc.1", ""), 0);
    }

    #[test]
    fn servers() {
        assert_eq!(code_of("temporal-go", "1.30.0", ">=1.0.0 <2.0.0"), 0);
        assert_eq!(code_of("temporal-go", "1.30.0", ">=99.0.0"), code::FAILED_PRECONDITION);
        assert_eq!(code_of("temporal-go", "1.30.0", ">=99.0.0 || 1.31.2"), 0);
        assert_eq!(code_of("temporal-go", "1.30.0", "any"), code::INVALID_ARGUMENT);
        assert_eq!(code_of("", "", ">=99.0.0"), 0);
    }

    #[test]
    fn the_refusal_says_what_is_supported() {
        let client = Client { name: "temporal-go", version: "2.0.0", supported_server_versions: "" };
        let text = "Client version 2.0.0 is not supported. Server supports temporal-go versions: <2.0.0";
        assert_eq!(check(client).expect_err("too new").message(), text);
    }
}
