//! `holdfast operator rekey`.

use clap::Args;
use proto_client::v1;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Seal, secrets};
use crate::{
    exit::{Doing, Failure},
    output::to_stderr,
    settings::Session,
};

/// Changes the seal.
#[derive(Args)]
pub(crate) struct Rekey {
    #[command(flatten)]
    seal: Seal,
    /// Do not ask for the new shares back. Whoever loses them then has lost the cluster with its next restart.
    #[arg(long)]
    no_verify: bool,
}

impl Rekey {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client().await?;
        let status = client.keys().status(v1::KeyStatusRequest {}).await.doing(|| "ask for the seal".to_owned())?;
        let current = secrets::ask_current(&status.seal_kind, status.seal_threshold)?;
        let seal = self.seal;
        let passphrase = if seal.passphrase { secrets::ask_new_passphrase()? } else { Default::default() };
        let key_file = seal.key_file.as_deref().map(secrets::NewKeyFile::create).transpose()?;
        let request = v1::RekeyRequest {
            current: current.iter().map(|text| String::clone(text)).collect(),
            shares: seal.shares.unwrap_or(0),
            threshold: seal.threshold.unwrap_or(0),
            passphrase: String::clone(&passphrase),
            key_file: key_file.is_some(),
            kms: seal.kms.clone().unwrap_or_default(),
        };
        let made = client.keys().rekey(request).await.doing(|| "make a new seal".to_owned())?;
        let mut proof = Vec::new();
        if let Some(file) = key_file {
            file.write(&made.key_file)?;
            proof.push(Zeroizing::new(made.key_file.clone()));
        }
        if seal.passphrase {
            proof.push(passphrase);
        }
        session.out.show(&json!({ "shares": made.shares }), |out| {
            made.shares.iter().enumerate().try_for_each(|(at, share)| writeln!(out, "Share {}: {share}", at + 1))
        })?;
        if !made.shares.is_empty() && !self.no_verify {
            to_stderr("The old shares still count. Give the new ones back, to show that they were written down:");
            for number in 1..=seal.threshold.unwrap_or(0) {
                proof.push(secrets::ask(&format!("new share {number} of {}", seal.threshold.unwrap_or(0)))?);
            }
        }
        let request = v1::ConfirmRekeyRequest {
            id: made.id,
            proof: proof.iter().map(|text| String::clone(text)).collect(),
            without_proof: self.no_verify && proof.is_empty(),
        };
        let done = client.keys().confirm_rekey(request).await.doing(|| "make the new seal count".to_owned())?;
        to_stderr(&format!(
            "the new seal counts on every node (generation {}); the old one opens nothing any more",
            done.generation
        ));
        Ok(())
    }
}
