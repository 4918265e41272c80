//! The table of operations: the number in a journal leaf and the word people search for. Numbers are never used again.

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

    /// Whether it looks at the cluster or changes its members.
    #[must_use]
    pub fn is_of_cluster(self) -> bool {
        use Operation::{
            ClusterAddLearner, ClusterPromote, ClusterRemove, ClusterSnapshot, ClusterStatus, ClusterTransferLeader,
        };
        matches!(
            self,
            ClusterStatus | ClusterAddLearner | ClusterPromote | ClusterRemove | ClusterTransferLeader | ClusterSnapshot
        )
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
    PolicyPut = 60 "policy.put",
    PolicyRead = 61 "policy.read",
    PolicyList = 62 "policy.list",
    PolicyDelete = 63 "policy.delete",
    RolePut = 64 "role.put",
    RoleRead = 65 "role.read",
    RoleList = 66 "role.list",
    RoleDelete = 67 "role.delete",
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
