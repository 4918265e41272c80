//! The state as a stream of bounded pieces, for snapshots, and back.

use super::{Digest, Environment, EnvironmentAbout, Left, Receipt, State};
use crate::guard::GuardPiece;
use crate::identity::IdentityPiece;
use crate::ids::{ClusterId, EnvironmentName, Revision, SecretPath, Stamp};
use crate::keys::{KeysPiece, tally};
use crate::members::MembersPiece;
use crate::policy::{Memo, Policy, Role};
use crate::recovery::RecoveryPiece;
use crate::secret::Secret;
use crate::token::Token;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One piece of a state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Piece {
    /// Always the first.
    Head {
        cluster: ClusterId,
        epoch: u32,
        revision: Revision,
        stamp: Stamp,
        digest: Digest,
        policies_changed: Revision,
    },
    /// Comes before its secrets.
    Environment(Arc<EnvironmentAbout>),
    Secret(EnvironmentName, Arc<Secret>),
    Token(Arc<Token>),
    Policy(Arc<Policy>),
    /// Oldest first.
    Receipt(Receipt),
    Role(Arc<Role>),
    Keys(KeysPiece),
    Identity(IdentityPiece),
    Guard(GuardPiece),
    /// Comes after its environment.
    Left(EnvironmentName, SecretPath, Left),
    Recovery(RecoveryPiece),
    Members(MembersPiece),
}

/// Why pieces do not make a state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPieces {
    /// The first piece is not a head.
    #[error("the state does not start with its head")]
    NoHead,
    /// A piece stands where it cannot.
    #[error("a piece of the state stands out of place")]
    OutOfPlace,
    /// The rows do not add up to the digest in the head.
    #[error("the rows of the state do not add up to its digest")]
    Digest,
}

impl State {
    /// All pieces, the head first. Lazy: holds one piece at a time.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let head = Piece::Head {
            cluster: self.cluster,
            epoch: self.epoch,
            revision: self.revision,
            stamp: self.stamp,
            digest: self.digest,
            policies_changed: self.policies_changed,
        };
        let environments = self.environments.values().flat_map(|environment| {
            let name = environment.about.name.clone();
            let left = environment.left.iter();
            std::iter::once(Piece::Environment(environment.about.clone()))
                .chain(environment.secrets.values().map(move |secret| Piece::Secret(name.clone(), secret.clone())))
                .chain(left.map(move |(path, left)| Piece::Left(environment.about.name.clone(), path.clone(), *left)))
        });
        std::iter::once(head)
            .chain(environments)
            .chain(self.accessors.values().filter_map(|hash| self.tokens.get(hash)).map(|token| Piece::Token(token.clone())))
            .chain(self.policies.values().map(|policy| Piece::Policy(policy.clone())))
            .chain(self.roles.values().map(|role| Piece::Role(role.clone())))
            .chain(self.keys.pieces().map(Piece::Keys))
            .chain(self.identity.pieces().map(Piece::Identity))
            .chain(self.guard.pieces().map(Piece::Guard))
            .chain(self.recovery.pieces().map(Piece::Recovery))
            .chain(self.members.pieces().map(Piece::Members))
            .chain(self.receipts.iter().map(|receipt| Piece::Receipt(receipt.clone())))
    }

    /// The state that starts with this piece.
    ///
    /// # Errors
    /// When the piece is not a head.
    pub fn start(piece: Piece) -> Result<State, BadPieces> {
        let Piece::Head { cluster, epoch, revision, stamp, digest, policies_changed } = piece else {
            return Err(BadPieces::NoHead);
        };
        Ok(State { epoch, revision, stamp, digest, policies_changed, ..State::empty(cluster) })
    }

    /// Takes in one more piece.
    ///
    /// # Errors
    /// When the piece cannot stand here.
    pub fn take(&mut self, piece: Piece) -> Result<(), BadPieces> {
        match piece {
            Piece::Head { .. } => return Err(BadPieces::OutOfPlace),
            Piece::Environment(about) => {
                self.environments.insert(about.name.clone(), Environment::fresh(about));
            }
            Piece::Secret(name, secret) => {
                let environment = self.environments.get_mut(&name).ok_or(BadPieces::OutOfPlace)?;
                self.keys.uses.shift(&name, &Vec::new(), &tally(&secret));
                self.reuse.add(&name, &secret);
                environment.place(secret);
            }
            Piece::Token(token) => {
                self.remember_token(token);
            }
            Piece::Policy(policy) => {
                self.memo = Memo::default();
                self.policies.insert(policy.name.clone(), policy);
            }
            Piece::Role(role) => {
                self.memo = Memo::default();
                self.roles.insert(role.name.clone(), role);
            }
            Piece::Keys(piece) => self.keys.take(piece),
            Piece::Identity(piece) => self.identity.take(piece),
            Piece::Guard(piece) => self.guard.take(piece),
            Piece::Recovery(piece) => self.recovery.take(piece),
            Piece::Members(piece) => self.members.take(piece),
            Piece::Receipt(receipt) => self.receipts.remember(receipt),
            Piece::Left(name, path, left) => {
                self.environments.get_mut(&name).ok_or(BadPieces::OutOfPlace)?.left.insert(path, left);
            }
        }
        Ok(())
    }

    /// Computes the digest of all rows anew and compares it with the one that was carried along.
    ///
    /// # Errors
    /// When they differ.
    pub fn check_digest(&self) -> Result<(), BadPieces> {
        if self.recomputed_digest() == self.digest { Ok(()) } else { Err(BadPieces::Digest) }
    }
}
