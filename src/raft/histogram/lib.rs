//! Stands in for the crate `base2histogram`, which openraft counts its batch sizes with.
//!
//! The real one fills tables of 25 MB at its first use, in every process, while openraft's counters can only be read
//! with its feature `runtime-stats`, which we do not enable. This one has the same names and counts nothing. Should
//! `runtime-stats` ever be wanted, remove it and the `[patch]` in the root Cargo.toml.

use std::fmt;
use std::marker::PhantomData;

/// Forgets what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    #[expect(clippy::new_without_default, reason = "openraft calls only new")]
    pub fn new() -> Self {
        Self(PhantomData)
    }

    pub fn record(&mut self, _value: u64) {}

    pub fn record_n(&mut self, _value: u64, _count: u64) {}

    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

/// All zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not counted")
    }
}

/// Draws nothing.
pub struct AsciiChart;

impl AsciiChart {
    #[expect(clippy::new_without_default, reason = "openraft calls only new")]
    pub fn new() -> Self {
        Self
    }

    pub fn add(self, _name: &str, _histogram: Histogram) -> Self {
        self
    }
}
