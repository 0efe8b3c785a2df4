//! One request with what its envelope says.

use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// A client's timeout is cut to this.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

pub struct Call<T> {
    pub message: T,
    /// When the client stops waiting, if it said so.
    pub deadline: Option<Instant>,
    pub client_name: String,
    pub extensions: Extensions,
}

impl<T> Call<T> {
    pub fn new(request: tonic::Request<T>) -> Self {
        let deadline = timeout_of(request.metadata()).map(|timeout| Instant::now() + timeout);
        let name = request.metadata().get("client-name").and_then(|name| name.to_str().ok());
        let client_name = name.unwrap_or_default().to_owned();
        let (_, extensions, message) = request.into_parts();
        Self { message, deadline, client_name, extensions }
    }

    /// The client's deadline, or `patience` from now if that is earlier.
    pub fn until(&self, patience: Duration) -> Instant {
        let ours = Instant::now() + patience;
        self.deadline.map_or(ours, |deadline| deadline.min(ours))
    }

    /// How long the client still waits.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// The `grpc-timeout` header: at most eight digits and a unit.
fn timeout_of(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(timeout.min(TIMEOUT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout(text: &'static str) -> Option<Duration> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", text.parse().expect("ascii"));
        timeout_of(&metadata)
    }

    #[test]
    fn timeouts_in_every_unit() {
        assert_eq!(timeout("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(timeout("2M"), Some(Duration::from_secs(120)));
        assert_eq!(timeout("99999999H"), Some(TIMEOUT_MAX));
        assert_eq!(timeout("12000000u"), Some(Duration::from_secs(12)));
        for bad in ["", "S", "soon", "5x"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
