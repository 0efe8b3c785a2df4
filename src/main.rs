//! The program. Everything is in the library.

use std::process::ExitCode;

/// Made for many threads; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    everstep::cli::main()
}
