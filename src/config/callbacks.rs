//! Completion callbacks: where they may go, and how many at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callbacks {
    pub allowed_addresses: Vec<AllowedAddress>,
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    pub concurrent: usize,
    pub concurrent_per_destination: usize,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            allowed_addresses: Vec::new(),
            request_timeout: Duration::from_secs(10),
            concurrent: 128,
            concurrent_per_destination: 16,
        }
    }
}

/// Hosts that may be called. Temporal's names of the fields are taken as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedAddress {
    /// `host:port` as it stands in the address; `*` stands for any text.
    #[serde(alias = "Pattern")]
    pub pattern: String,
    /// Whether http will do. Without it only https does.
    #[serde(alias = "AllowInsecure", default)]
    pub allow_insecure: bool,
}

impl AllowedAddress {
    pub fn matches(&self, host: &str) -> bool {
        let mut parts = self.pattern.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = host.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let matches =
            |pattern: &str, host: &str| AllowedAddress { pattern: pattern.into(), allow_insecure: false }.matches(host);
        assert!(matches("*", "anything:80"));
        assert!(matches("a.example.com:443", "a.example.com:443"));
        assert!(!matches("a.example.com", "a.example.com:443"));
        assert!(matches("prefix.*.domain", "prefix.a.b.domain"));
        assert!(!matches("prefix.*.domain", "prefix.domain"));
        assert!(!matches("a*a", "a"));
        assert!(matches("*.example.com:*", "x.example.com:8443"));
        assert!(!matches("*.example.com", "example.com.evil.org"));
        assert!(!matches("", "host"));
    }
}
