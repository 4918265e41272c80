//! Another seal around the same ring: new shares, another passphrase, another kind. The old one counts until somebody has shown that
//! he has the new one, and every member has answered.

use super::phases::key_from;
use super::rotation::Rotation;
use super::wish::{Made, Wish};
use crate::fault;
use proto::v1;
use std::time::Duration;
use storage_crypto::key::Key;
use storage_crypto::seal_file::SealKind;
use storage_crypto::seal_key::SealKey;
use tokio::time::Instant;
use tonic::Status;
use zeroize::Zeroizing;

/// How long a new seal waits to be proven.
const STAGED_TIME: Duration = Duration::from_secs(15 * 60);

/// A new seal that does not count yet.
pub(crate) struct Staged {
    id: String,
    key: SealKey,
    since: Instant,
}

fn texts(given: &[String]) -> Vec<Zeroizing<String>> {
    given.iter().map(|text| Zeroizing::new(text.clone())).collect()
}

impl Rotation {
    /// Makes a new seal. Nothing has changed when this returns.
    pub(crate) async fn stage(&self, request: v1::RekeyRequest) -> Result<v1::RekeyResponse, Status> {
        let mut turn = self.turn.lock().await;
        self.check_leading()?;
        self.prove(&request).await?;
        let made = self.make(request).await?;
        let id = uuid::Uuid::new_v4().to_string();
        let answer = v1::RekeyResponse {
            id: id.clone(),
            shares: made.shares.iter().map(|share| String::clone(share)).collect(),
            key_file: String::clone(&made.key_file),
        };
        *turn = Some(Staged { id, key: made.key, since: Instant::now() });
        Ok(answer)
    }

    /// That whoever asks has what holds the seal now. What a service keeps nobody can show.
    async fn prove(&self, request: &v1::RekeyRequest) -> Result<(), Status> {
        let (custody, current) = (self.holdings.custody.clone(), texts(&request.current));
        let proven = tokio::task::spawn_blocking(move || {
            let file = custody.file();
            if file.kms().is_some() {
                return Ok(());
            }
            let proof = key_from(file.sealed_with(), &current).map_err(Status::permission_denied)?;
            if custody.is_opened_by(&proof) {
                return Ok(());
            }
            Err(Status::permission_denied(format!("this is not the {} of the seal that counts", file.kind())))
        });
        proven.await.map_err(|error| Status::internal(error.to_string()))?
    }

    async fn make(&self, request: v1::RekeyRequest) -> Result<Made, Status> {
        let sealing = self.holdings.sealing.clone();
        let kept = match request.kms.as_str() {
            "" => None,
            named => {
                let (cluster, key) = (self.holdings.custody.file().cluster(), Key::generate(sealing.entropy()));
                Some(self.keeper.make(named, cluster, key).await?)
            }
        };
        let made = tokio::task::spawn_blocking(move || {
            let v1::RekeyRequest { shares, threshold, key_file, .. } = request;
            let wish = Wish { shares, threshold, key_file, kms: !request.kms.is_empty() };
            wish.make(Zeroizing::new(request.passphrase), kept, sealing.entropy())
        });
        made.await.map_err(|error| Status::internal(error.to_string()))?
    }

    /// Makes the new seal count, on every member: generation and record.
    pub(crate) async fn confirm(&self, request: v1::ConfirmRekeyRequest) -> Result<(u64, u64), Status> {
        let mut turn = self.turn.lock().await;
        self.check_leading()?;
        let staged = turn.as_ref().filter(|staged| staged.id == request.id && staged.since.elapsed() < STAGED_TIME);
        let staged = staged.ok_or_else(|| Status::failed_precondition("no new seal waits under this id here: begin again"))?;
        let key = staged.key.duplicate();
        // What a service keeps it has shown already that it gives back.
        if !request.without_proof && key.sealed_with().kind() != SealKind::AwsKms {
            let (custody, proof) = (self.holdings.custody.clone(), texts(&request.proof));
            let checked = tokio::task::spawn_blocking(move || {
                let proof = key_from(key.sealed_with(), &proof).map_err(Status::invalid_argument)?;
                if custody.is_same_key(&key, &proof) { Ok(()) } else { Err(Status::invalid_argument("this is not the new seal")) }
            });
            checked.await.map_err(|error| Status::internal(error.to_string()))??;
        }
        let key = staged.key.duplicate();
        let others = self.all_described().await?;
        let custody = self.holdings.custody.clone();
        let resealed = tokio::task::spawn_blocking(move || custody.reseal(key)).await;
        let resealed = resealed.map_err(|error| Status::internal(error.to_string()))?;
        let generation = resealed.map_err(|error| Status::failed_precondition(error.to_string()))?;
        // From here on the new seal counts somewhere: it must not be lost, and members that miss it now fetch it.
        *turn = None;
        fault::point("rekey: resealed");
        self.hand_to(others.iter().map(|(member, _)| member)).await.map_err(|status| {
            Status::aborted(format!(
                "the new seal counts, but not on every node yet: {}; those nodes take it by themselves as soon as they reach another",
                status.message()
            ))
        })?;
        let index = self.journal_seal().await?;
        Ok((generation, index))
    }
}
