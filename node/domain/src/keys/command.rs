//! What can be asked about keys.

use super::event::Rewrap;
use super::state::SealAbout;
use crate::ids::{Accessor, EnvironmentName, TokenHash};
use crate::operation::Operation;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a holder of a token asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum KeysCommand {
    /// The door drew the key and wrapped it; `version` is the one after the newest.
    RotateEnvironment {
        environment: EnvironmentName,
        version: u32,
        wrapped_key: Bytes,
    },
    /// As for an environment, for what the system itself keeps sealed.
    RotateSystem {
        version: u32,
        wrapped_key: Bytes,
    },
    SealEnvironment {
        environment: EnvironmentName,
    },
    UnsealEnvironment {
        environment: EnvironmentName,
    },
    /// The node is about to forget its keys: this is the last it says.
    SealNode {
        node: u64,
    },
    /// Looking at keys, or beginning what nodes then do among themselves: a new root key, a new seal.
    Ask {
        operation: Operation,
        subject: String,
    },
}

/// What the cluster asks of itself: the leader's managers, without a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum KeysUpkeep {
    /// Every member holds this version of the root key, and all that the state has wrapped is wrapped by it here.
    RotateRoot {
        version: u32,
        wrapped: WrappedRoots,
    },
    /// The same values under the newest key of their environment.
    Rewrap {
        environment: EnvironmentName,
        items: Vec<Rewrap>,
    },
    RetireEnvironmentKey {
        environment: EnvironmentName,
        version: u32,
    },
    SealChanged(SealAbout),
    /// A node says that it was unsealed, as soon as it can.
    NodeUnsealed {
        node: u64,
        kind: String,
    },
    /// A node says that it was sealed while nobody could record it.
    NodeSealedAlone {
        node: u64,
        accessor: Accessor,
        at_ms: u64,
    },
    /// Somebody showed a node what opens the seal, and gets a token that may everything, for so long; 0: until it is revoked.
    MintRoot {
        token: TokenHash,
        ttl_ms: u64,
    },
}

/// Everything that the root key wraps, in the order of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedRoots {
    /// Each environment with all versions of its key.
    pub environments: Vec<(EnvironmentName, Vec<(u32, Bytes)>)>,
    /// All versions of the system's key.
    pub system: Vec<(u32, Bytes)>,
}

impl WrappedRoots {
    /// Bytes of all wrapped keys, with their names and numbers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sum = |keys: &[(u32, Bytes)]| keys.iter().map(|(_, key)| key.len() + 16).sum::<usize>();
        sum(&self.system) + self.environments.iter().map(|(name, keys)| name.as_str().len() + 16 + sum(keys)).sum::<usize>()
    }
}

/// What a cluster is founded with besides environments and a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundingKeys {
    /// The first key for what the system itself keeps sealed, wrapped by the root key.
    pub system_key: Bytes,
    /// What holds the root key.
    pub seal: SealAbout,
}

/// What the caller is told beyond that it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeysAnswer {
    /// The version of a key that counts from now on.
    Version(u32),
}

impl KeysCommand {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        let of = |operation, environment: &EnvironmentName| (operation, environment.to_string(), String::new());
        match self {
            KeysCommand::RotateEnvironment { environment, .. } => of(Operation::KeyRotate, environment),
            KeysCommand::RotateSystem { .. } => (Operation::KeyRotateSystem, String::new(), String::new()),
            KeysCommand::SealEnvironment { environment } => of(Operation::EnvironmentSeal, environment),
            KeysCommand::UnsealEnvironment { environment } => of(Operation::EnvironmentUnseal, environment),
            KeysCommand::SealNode { node } => (Operation::SealSeal, String::new(), format!("node-{node}")),
            KeysCommand::Ask { operation, subject } => (*operation, String::new(), subject.clone()),
        }
    }
}

impl KeysUpkeep {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        let of =
            |operation, environment: &EnvironmentName, version: &u32| (operation, environment.to_string(), format!("k{version}"));
        match self {
            KeysUpkeep::RotateRoot { version, .. } => (Operation::KeyRotateRoot, String::new(), format!("k{version}")),
            KeysUpkeep::Rewrap { environment, items } => {
                of(Operation::KeyRewrap, environment, &items.first().map_or(0, |item| item.sealed.seal.key_version))
            }
            KeysUpkeep::RetireEnvironmentKey { environment, version } => of(Operation::KeyRetire, environment, version),
            KeysUpkeep::SealChanged(seal) => (Operation::SealRekey, String::new(), seal.kind.clone()),
            KeysUpkeep::NodeUnsealed { node, .. } => (Operation::SealUnseal, String::new(), format!("node-{node}")),
            KeysUpkeep::MintRoot { token, .. } => (Operation::RootMint, String::new(), Accessor::of(token).to_string()),
            KeysUpkeep::NodeSealedAlone { node, .. } => (Operation::SealSeal, String::new(), format!("node-{node}")),
        }
    }
}
