//! Compiles the contract with protox (a compiler in Rust) and keeps the descriptors for reflection.

use prost::Message;

const FILES: &[&str] = &[
    "proto/holdfast/v1/secrets.proto",
    "proto/holdfast/v1/environments.proto",
    "proto/holdfast/v1/access.proto",
    "proto/holdfast/v1/identity.proto",
    "proto/holdfast/v1/audit.proto",
    "proto/holdfast/v1/cluster.proto",
    "proto/holdfast/v1/snapshots.proto",
    "proto/holdfast/v1/guard.proto",
    "proto/holdfast/v1/seal.proto",
    "proto/holdfast/v1/keys.proto",
    "proto/holdfast/peer/v1/keys.proto",
    "proto/holdfast/peer/v1/forward.proto",
    "proto/holdfast/peer/v1/repair.proto",
    "proto/holdfast/peer/v1/raft.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let files = FILES.iter().filter(|file| std::path::Path::new(file).exists());
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptor.bin"), descriptors.encode_to_vec())?;
    // Ordered maps: a message that is encoded again must have the same bytes, or a repeated request would look like another one.
    tonic_prost_build::configure().bytes(".").btree_map(".").skip_debug(SECRETS).compile_fds(descriptors)?;
    Ok(())
}

/// Messages that carry a plaintext value or a token: they must not be printable. `src/redacted.rs` gives each a `Debug` that
/// shows no content.
const SECRETS: &[&str] = &[
    "holdfast.v1.Value",
    "holdfast.v1.Value.kind",
    "holdfast.v1.Fields",
    "holdfast.v1.CreateTokenResponse",
    "holdfast.v1.WebhookSink",
    "holdfast.v1.SmtpSink",
    // Shares, passphrases, keys.
    "holdfast.v1.InitRequest",
    "holdfast.v1.InitResponse",
    "holdfast.v1.UnsealRequest",
    "holdfast.v1.RekeyRequest",
    "holdfast.v1.RekeyResponse",
    "holdfast.v1.ConfirmRekeyRequest",
    "holdfast.v1.WrapToken",
    "holdfast.v1.LoginPasswordRequest",
    "holdfast.v1.LoginMachineRequest",
    "holdfast.v1.LoginJwtRequest",
    "holdfast.v1.LoginResponse",
    "holdfast.v1.CreateUserRequest",
    "holdfast.v1.SetPasswordRequest",
    "holdfast.v1.EnrolTotpResponse",
    "holdfast.v1.ConfirmTotpRequest",
    "holdfast.v1.IssueSecretIdResponse",
    "holdfast.v1.UnwrapRequest",
    "holdfast.v1.WrapRequest",
    "holdfast.v1.UnwrapResponse",
];
