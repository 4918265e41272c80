//! The table of operations: the number in a journal leaf and the word people search for. Numbers are never used again.

use crate::policy::Capability;
use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal,)*) => {
        /// What was asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "u16", try_from = "u16")]
        #[allow(missing_docs)]
        #[repr(u16)]
        pub enum Operation { $($(#[$doc])* $name = $number,)* }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Operation] = &[$(Operation::$name,)*];

            /// The word people search for.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Operation::$name => $word,)* }
            }

            /// The operation with this number.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Operation> {
                match number { $($number => Some(Operation::$name),)* _ => None }
            }
        }
    };
}

impl Operation {
    /// Whether it is a look at the journal.
    #[must_use]
    pub fn is_of_journal(self) -> bool {
        use Operation::{AuditExport, AuditHead, AuditQuery, AuditTail};
        matches!(self, AuditQuery | AuditTail | AuditExport | AuditHead)
    }

    /// Whether a node is asked to make, list or delete snapshots.
    #[must_use]
    pub fn is_of_snapshots(self) -> bool {
        use Operation::{SnapshotList, SnapshotPrune, SnapshotSave};
        matches!(self, SnapshotSave | SnapshotList | SnapshotPrune)
    }

    /// Whether it looks at the cluster or changes its members.
    #[must_use]
    pub fn is_of_cluster(self) -> bool {
        use Operation::{
            ClusterAddLearner, ClusterDemote, ClusterDrain, ClusterPromote, ClusterRemove, ClusterReplace, ClusterResume,
            ClusterSnapshot, ClusterStatus, ClusterTransferLeader,
        };
        matches!(
            self,
            ClusterStatus | ClusterAddLearner | ClusterPromote | ClusterRemove | ClusterTransferLeader | ClusterSnapshot
        ) || matches!(self, ClusterDrain | ClusterResume | ClusterReplace | ClusterDemote)
    }
}

/// One match without a wildcard arm: an operation that stands nowhere does not compile.
macro_rules! capabilities {
    (nothing { $($none:ident)* } $($capability:ident { $($operation:ident)* })*) => {
        impl Operation {
            /// The capability that whoever asks for it must hold, where one is needed: the one map from operations to capabilities.
            ///
            /// A put needs `create` instead where nothing stands yet; a copy, move or transaction needs what its parts need, here its
            /// first. The holder of a policy or role may read it, a token may look at, renew, end and be tested by itself, and users see
            /// and change what is theirs, without any.
            #[must_use]
            pub fn capability(self) -> Option<Capability> {
                match self {
                    $(Operation::$none)|* => None,
                    $($(Operation::$operation)|* => Some(Capability::$capability),)*
                }
            }
        }
    };
}

capabilities! {
    nothing {
        Found EnvironmentList TokenLookupSelf CatchUp
        // What nodes and managers record by themselves, or what goes along with a request.
        SealInit SealUnseal RootMint KeyRewrap KeyRetire AlertRaise AlertDeliver AddressSeen TokenUse WrapEnd
        SnapshotSaved SnapshotFailed SnapshotPruned ClusterRestored ClusterRecovered
        RepairBegin RepairDone RepairFail StateCheck MemberSeen MemberLeft MemberAnnounced LevelRaised
        // Whoever logs in or unwraps has no token yet.
        LoginPassword LoginMachine LoginCertificate LoginJwt LoginFailed Unwrap WrapLookup
        // Whoever has a token may wrap: what is handed over is his own to hand over.
        Wrap
        // A plan is shown to who asked for it and to who may promote or approve what it touches; only the first takes it back.
        PromotionRead PromotionCancel
    }
    Read { SecretRead SecretCopy }
    Update { SecretPut SecretPatch SecretRollback SecretTransact }
    Metadata { SecretSetMetadata }
    List { SecretList SecretSearch SecretHistory SecretWatch }
    Delete { SecretDelete SecretUndelete SecretMove }
    Destroy { SecretDestroy }
    Environments { EnvironmentCreate }
    Tokens { TokenCreate TokenList TokenRevoke TokenRenew TokenLookup }
    Identities {
        UserCreate UserList UserRead UserDisable UserEnable UserDelete UserPassword UserTotpEnrol UserTotpConfirm UserTotpRemove
        UserUnlock MachineCreate MachineList MachineDelete MachineSecretId MachineSecretIds MachineRevokeSecretId CertRolePut
        CertRoleList CertRoleDelete IssuerPut IssuerList IssuerDelete UserGrant MachineGrant
    }
    // A simulation looks at the journal too, and needs `audit` besides.
    Policies {
        PolicyPut PolicyRead PolicyList PolicyDelete RolePut RoleRead RoleList RoleDelete PolicyTest PolicySimulate
    }
    Audit { AuditQuery AuditTail AuditExport AuditHead }
    Cluster {
        ClusterStatus ClusterAddLearner ClusterPromote ClusterRemove ClusterTransferLeader ClusterSnapshot ClusterDrain ClusterResume
        ClusterReplace ClusterDemote
        SnapshotSave SnapshotList SnapshotPrune SnapshotRestore DrillReport
    }
    Alerts { AlertList AlertAcknowledge AlertTest SinkPut SinkDelete SinkList }
    Promote { PromotionPlan PromotionApply }
    Approve { PromotionApprove PromotionReject }
    Governance { RulePut RuleDelete RuleList RuleCheck EnvironmentSet }
    Keys {
        SealSeal SealRekey KeyRotateRoot KeyRotate KeyRotateSystem KeyDropRoots KeyStatus EnvironmentSeal EnvironmentUnseal
    }
}

impl Operation {
    /// Whether it looks at keys, or begins what nodes then do among themselves.
    #[must_use]
    pub fn is_of_keys(self) -> bool {
        use Operation::{KeyDropRoots, KeyRotateRoot, KeyStatus, SealRekey};
        matches!(self, KeyStatus | KeyRotateRoot | KeyDropRoots | SealRekey)
    }
}

impl From<Operation> for u16 {
    fn from(operation: Operation) -> u16 {
        operation as u16
    }
}

impl TryFrom<u16> for Operation {
    type Error = String;

    fn try_from(number: u16) -> Result<Operation, String> {
        Operation::from_number(number).ok_or_else(|| format!("there is no operation {number}"))
    }
}

operations! {
    Found = 1 "cluster.found",
    SecretPut = 10 "secret.put",
    SecretPatch = 11 "secret.patch",
    SecretRead = 12 "secret.read",
    SecretSetMetadata = 13 "secret.set-metadata",
    SecretList = 14 "secret.list",
    SecretSearch = 15 "secret.search",
    SecretHistory = 16 "secret.history",
    SecretRollback = 17 "secret.rollback",
    SecretDelete = 18 "secret.delete",
    SecretUndelete = 19 "secret.undelete",
    SecretDestroy = 20 "secret.destroy",
    SecretCopy = 21 "secret.copy",
    SecretMove = 22 "secret.move",
    SecretTransact = 23 "secret.transact",
    SecretWatch = 24 "secret.watch",
    EnvironmentList = 40 "environment.list",
    EnvironmentCreate = 41 "environment.create",
    EnvironmentSet = 42 "environment.set",
    TokenCreate = 50 "token.create",
    TokenLookupSelf = 51 "token.lookup-self",
    TokenList = 52 "token.list",
    TokenRevoke = 53 "token.revoke",
    TokenRenew = 54 "token.renew",
    TokenLookup = 55 "token.lookup",
    TokenUse = 56 "token.use",
    PolicyPut = 60 "policy.put",
    PolicyRead = 61 "policy.read",
    PolicyList = 62 "policy.list",
    PolicyDelete = 63 "policy.delete",
    RolePut = 64 "role.put",
    RoleRead = 65 "role.read",
    RoleList = 66 "role.list",
    RoleDelete = 67 "role.delete",
    PolicyTest = 68 "policy.test",
    PolicySimulate = 69 "policy.simulate",
    AuditQuery = 70 "audit.query",
    AuditTail = 71 "audit.tail",
    AuditExport = 72 "audit.export",
    AuditHead = 73 "audit.head",
    ClusterStatus = 80 "cluster.status",
    ClusterAddLearner = 81 "cluster.add-learner",
    ClusterPromote = 82 "cluster.promote",
    ClusterRemove = 83 "cluster.remove",
    ClusterTransferLeader = 84 "cluster.transfer-leader",
    ClusterSnapshot = 85 "cluster.snapshot",
    // 90 to 109: keys and seals.
    SealInit = 90 "seal.init",
    SealUnseal = 91 "seal.unseal",
    SealSeal = 92 "seal.seal",
    SealRekey = 93 "seal.rekey",
    KeyRotateRoot = 94 "key.rotate-root",
    KeyRotate = 95 "key.rotate",
    KeyRewrap = 96 "key.rewrap",
    KeyRetire = 97 "key.retire",
    EnvironmentSeal = 98 "environment.seal",
    EnvironmentUnseal = 99 "environment.unseal",
    KeyStatus = 100 "key.status",
    KeyRotateSystem = 101 "key.rotate-system",
    KeyDropRoots = 102 "key.drop-roots",
    UserCreate = 110 "user.create",
    UserList = 111 "user.list",
    UserRead = 112 "user.get",
    UserDisable = 113 "user.disable",
    UserEnable = 114 "user.enable",
    UserDelete = 115 "user.delete",
    UserPassword = 116 "user.password",
    UserTotpEnrol = 117 "user.totp-enrol",
    UserTotpConfirm = 118 "user.totp-confirm",
    UserTotpRemove = 119 "user.totp-remove",
    UserUnlock = 120 "user.unlock",
    LoginPassword = 121 "login.password",
    LoginMachine = 122 "login.machine",
    LoginCertificate = 123 "login.certificate",
    LoginJwt = 124 "login.jwt",
    LoginFailed = 125 "login.failed",
    MachineCreate = 126 "machine.create",
    MachineList = 127 "machine.list",
    MachineDelete = 128 "machine.delete",
    MachineSecretId = 129 "machine.secret-id",
    MachineSecretIds = 130 "machine.secret-ids",
    MachineRevokeSecretId = 131 "machine.revoke-secret-id",
    Wrap = 132 "wrap.wrap",
    Unwrap = 133 "wrap.unwrap",
    WrapLookup = 134 "wrap.lookup",
    WrapEnd = 135 "wrap.end",
    CertRolePut = 136 "cert-role.put",
    CertRoleList = 137 "cert-role.list",
    CertRoleDelete = 138 "cert-role.delete",
    IssuerPut = 139 "issuer.put",
    IssuerList = 140 "issuer.list",
    IssuerDelete = 141 "issuer.delete",
    AlertRaise = 170 "alert.raise",
    AlertList = 171 "alert.list",
    AlertAcknowledge = 172 "alert.acknowledge",
    AlertTest = 173 "alert.test",
    AlertDeliver = 174 "alert.deliver",
    SinkPut = 175 "sink.put",
    SinkDelete = 176 "sink.delete",
    SinkList = 177 "sink.list",
    AddressSeen = 178 "address.seen",
    PromotionPlan = 180 "promotion.plan",
    PromotionRead = 181 "promotion.read",
    PromotionApprove = 182 "promotion.approve",
    PromotionReject = 183 "promotion.reject",
    PromotionApply = 184 "promotion.apply",
    PromotionCancel = 185 "promotion.cancel",
    RulePut = 190 "rule.put",
    RuleDelete = 191 "rule.delete",
    RuleList = 192 "rule.list",
    RuleCheck = 193 "rule.check",
    UserGrant = 196 "user.grant",
    MachineGrant = 197 "machine.grant",
    // 230 to 249: snapshots and restores.
    SnapshotSave = 230 "snapshot.save",
    SnapshotSaved = 231 "snapshot.saved",
    SnapshotFailed = 232 "snapshot.failed",
    SnapshotList = 233 "snapshot.list",
    SnapshotPrune = 234 "snapshot.prune",
    SnapshotPruned = 235 "snapshot.pruned",
    SnapshotRestore = 236 "snapshot.restore",
    DrillReport = 237 "drill.report",
    ClusterRestored = 238 "cluster.restored",
    ClusterRecovered = 239 "cluster.recovered",
    // 250 to 269: members and their work.
    ClusterDrain = 250 "cluster.drain",
    ClusterResume = 251 "cluster.resume",
    ClusterReplace = 252 "cluster.replace",
    ClusterDemote = 253 "cluster.demote",
    MemberSeen = 255 "member.seen",
    MemberLeft = 256 "member.left",
    MemberAnnounced = 257 "member.announced",
    LevelRaised = 258 "level.raised",
    // 270 to 279: self-repair.
    RepairBegin = 270 "repair.began",
    RepairDone = 271 "repair.done",
    RepairFail = 272 "repair.failed",
    StateCheck = 273 "state.check",
    /// A node that may be behind asks for the newest state, in the name of whoever it is going to answer.
    CatchUp = 280 "door.catch-up",
    RootMint = 281 "seal.root",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_unique_and_read_back() {
        let mut words = std::collections::HashSet::new();
        for operation in Operation::ALL {
            assert!(words.insert(operation.word()), "{operation:?}");
            assert_eq!(Operation::from_number(*operation as u16), Some(*operation));
        }
        assert_eq!(Operation::from_number(0), None);
    }
}
