//! Generates Rust types from the .proto files inside the crate `temporalio-protos` and from `internal/`.
//! No protoc runs, nothing of Temporal's is vendored, and the google.api.http options survive.
#![expect(clippy::disallowed_methods, reason = "a build script needs no better errors than the file name Cargo prints")]

use std::{env, error::Error, path::PathBuf, process::Command};

const ROOTS: &[&str] = &[
    "temporal/api/workflowservice/v1/service.proto",
    "temporal/api/operatorservice/v1/service.proto",
    "temporal/api/errordetails/v1/message.proto",
    "temporal/api/sdk/v1/workflow_metadata.proto",
    "health/v1/health.proto",
    "google/rpc/status.proto",
];
/// Written by hand, in `history.rs` and `failure.rs`: name, path, and what is exported where it would be if it had been
/// generated.
const BY_HAND: &[(&str, &str, &str)] = &[
    (".temporal.api.history.v1.History", "crate::history::History", "pub use crate::history::History;\n"),
    (".temporal.api.failure.v1.Failure", "crate::failure::Failure", "pub use crate::failure::{failure, Failure};\n"),
];
const INTERNAL: &[&str] = &["op.proto", "state.proto", "peer.proto", "admin.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=internal");
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let upstream = temporal_protos(&here)?;
    let include = [upstream.join("api_upstream"), upstream.join("grpc"), upstream, here.join("internal")];

    let mut public = protox::Compiler::new(&include)?;
    public.include_imports(true).include_source_info(false).open_files(ROOTS)?;
    std::fs::write(out.join("public_descriptors.bin"), public.encode_file_descriptor_set())?;

    let mut all = protox::Compiler::new(&include)?;
    all.include_imports(true).include_source_info(false);
    all.open_files(ROOTS.iter().chain(INTERNAL))?;
    let mut config = tonic_prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]).enable_type_names();
    for (name, path, _) in BY_HAND {
        config.extern_path(*name, *path);
    }
    std::fs::write(out.join("all_descriptors.bin"), all.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .generate_default_stubs(true)
        .include_file("all.rs")
        .compile_fds_with_config(all.file_descriptor_set(), config)?;
    for (name, _, export) in BY_HAND {
        let package = name.trim_start_matches('.').rsplit_once('.').ok_or("a name without a package")?.0;
        let module = out.join(format!("{package}.rs"));
        let generated = std::fs::read_to_string(&module)?;
        std::fs::write(&module, generated + export)?;
    }
    Ok(())
}

/// Where Cargo keeps the .proto files of `temporalio-protos`.
fn temporal_protos(here: &std::path::Path) -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(here.join("Cargo.toml"))
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|p| p["name"] == "temporalio-protos"))
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("cargo metadata does not list temporalio-protos")?;
    Ok(PathBuf::from(manifest).parent().ok_or("a manifest without a folder")?.join("protos"))
}
