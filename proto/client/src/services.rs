//! Every call of the contract as a method: one message in, one answer out.

use proto::v1::{
    self, alerts_client::AlertsClient, audit_client::AuditClient, cert_roles_client::CertRolesClient,
    cluster_client::ClusterClient, environments_client::EnvironmentsClient, issuers_client::IssuersClient,
    keys_client::KeysClient, login_client::LoginClient, machines_client::MachinesClient, policies_client::PoliciesClient,
    promotions_client::PromotionsClient, roles_client::RolesClient, seal_client::SealClient, secrets_client::SecretsClient,
    snapshots_client::SnapshotsClient, tokens_client::TokensClient, users_client::UsersClient,
    value_rules_client::ValueRulesClient, wrapping_client::WrappingClient,
};

use crate::{
    client::{Client, Service},
    error::ClientError,
    streams::{Answers, ReadStream},
};

/// A value is at most 1 MiB, a transaction several of them.
const ENCODED_BYTES_MAX: usize = 4 << 20;
/// `GetMany` may answer with 256 values.
const DECODED_BYTES_MAX: usize = 64 << 20;

macro_rules! service {
    (
        $(#[$about:meta])* $name:ident as $generated:ident, raw $raw:ident;
        calls { $( $(#[$doc:meta])* $method:ident($request:ident) -> $answer:ident; )* }
        streams { $( $(#[$stream_doc:meta])* $stream:ident($stream_request:ident) -> $stream_answer:ident; )* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a>(pub(crate) &'a Client);

        impl $name<'_> {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// When the cluster refuses, or nobody answers in time.
                pub async fn $method(&self, request: v1::$request) -> Result<v1::$answer, ClientError> {
                    let send = |service, request| async move { $raw(service).$method(request).await };
                    self.0.call(request, send).await
                }
            )*
            $(
                $(#[$stream_doc])*
                ///
                /// # Errors
                /// When the cluster refuses, or nobody answers in time. A stream that breaks later says so in its last item.
                pub async fn $stream(&self, request: v1::$stream_request) -> Result<Answers<v1::$stream_answer>, ClientError> {
                    let send = |service, request| async move { $raw(service).$stream(request).await };
                    self.0.open(|| request.clone(), send).await.map(Answers::new)
                }
            )*

            /// The generated client on the connection that the next call would use, without retries.
            #[must_use]
            pub fn raw(&self) -> $generated<Service> {
                $raw(self.0.service())
            }
        }

        fn $raw(service: Service) -> $generated<Service> {
            $generated::new(service).max_encoding_message_size(ENCODED_BYTES_MAX).max_decoding_message_size(DECODED_BYTES_MAX)
        }
    };
}

service! {
    /// Reading and writing secrets.
    Secrets as SecretsClient, raw secrets;
    calls {
        /// Adds a version, and the secret where there was none.
        put(PutRequest) -> PutResponse;
        /// Changes some fields of a structured value.
        patch(PatchRequest) -> PutResponse;
        /// Reads one version of one secret.
        get(GetRequest) -> GetResponse;
        /// Reads up to 256 secrets; each is answered, or refused, by itself.
        get_many(GetManyRequest) -> GetManyResponse;
        /// Changes what is known of a secret besides its value.
        set_metadata(SetMetadataRequest) -> SetMetadataResponse;
        /// Lists secrets by prefix, one page.
        list(ListRequest) -> ListResponse;
        /// Finds secrets by tag, owner, type and custom metadata, one page.
        search(SearchRequest) -> ListResponse;
        /// Metadata of a secret and of all its versions.
        history(HistoryRequest) -> HistoryResponse;
        /// Makes a new version with the value of an older one.
        rollback(RollbackRequest) -> PutResponse;
        /// Hides versions.
        delete(VersionsRequest) -> VersionsResponse;
        /// Brings hidden versions back.
        undelete(VersionsRequest) -> VersionsResponse;
        /// Removes values and their keys for good.
        destroy(VersionsRequest) -> VersionsResponse;
        /// Copies the newest version to another path.
        copy(CopyRequest) -> PutResponse;
        /// Moves a secret with all its versions.
        r#move(CopyRequest) -> PutResponse;
        /// Several changes, all or nothing.
        transact(TransactRequest) -> TransactResponse;
    }
    streams {
        /// Changes under a prefix, as they happen.
        watch(WatchRequest) -> WatchEvent;
    }
}

impl Secrets<'_> {
    /// Opens one stream for many reads, with at most `window` of them waiting for an answer.
    ///
    /// # Errors
    /// When the cluster refuses, or nobody answers in time.
    pub async fn get_stream(&self, window: usize) -> Result<ReadStream, ClientError> {
        ReadStream::open(self.0, window, secrets).await
    }
}

service! {
    /// Environments.
    Environments as EnvironmentsClient, raw environments;
    calls {
        /// Lists the environments that the caller may see.
        list(ListEnvironmentsRequest) -> ListEnvironmentsResponse;
        /// Creates an environment with keys of its own.
        create(CreateEnvironmentRequest) -> Environment;
        /// Changes settings of an environment.
        set(SetEnvironmentRequest) -> Environment;
    }
    streams {}
}

service! {
    /// Tokens.
    Tokens as TokensClient, raw tokens;
    calls {
        /// Makes a token. Its text is in the answer and nowhere else.
        create(CreateTokenRequest) -> CreateTokenResponse;
        /// What the caller's own token is and may.
        lookup_self(LookupSelfRequest) -> Token;
        /// Lists tokens.
        list(ListTokensRequest) -> ListTokensResponse;
        /// Ends a token by its accessor.
        revoke(RevokeTokenRequest) -> RevokeTokenResponse;
        /// Makes a token last longer.
        renew(RenewTokenRequest) -> Token;
        /// What a token is and may.
        lookup(LookupTokenRequest) -> Token;
    }
    streams {}
}

service! {
    /// Policies.
    Policies as PoliciesClient, raw policies;
    calls {
        /// Writes a policy.
        put(PutPolicyRequest) -> Policy;
        /// Reads a policy.
        get(GetPolicyRequest) -> Policy;
        /// Lists policies.
        list(ListPoliciesRequest) -> ListPoliciesResponse;
        /// Deletes a policy.
        delete(DeletePolicyRequest) -> DeletePolicyResponse;
        /// Whether somebody may do something, and why.
        test(TestPolicyRequest) -> TestPolicyResponse;
        /// What a policy would have made of past requests.
        simulate(SimulatePolicyRequest) -> SimulatePolicyResponse;
    }
    streams {}
}

service! {
    /// Roles.
    Roles as RolesClient, raw roles;
    calls {
        /// Writes a role.
        put(PutRoleRequest) -> Role;
        /// Reads a role.
        get(GetRoleRequest) -> Role;
        /// Lists roles.
        list(ListRolesRequest) -> ListRolesResponse;
        /// Deletes a role.
        delete(DeleteRoleRequest) -> DeleteRoleResponse;
    }
    streams {}
}

service! {
    /// The journal.
    Audit as AuditClient, raw audit;
    calls {
        /// Where the chain of the node that answers stands.
        head(HeadRequest) -> HeadResponse;
    }
    streams {
        /// Records that match.
        query(QueryRequest) -> AuditRecord;
        /// Records as they are made.
        tail(TailRequest) -> AuditRecord;
        /// Leaves and links, in order.
        export(ExportRequest) -> ExportedRecord;
    }
}

service! {
    /// Alerts and where they go.
    Alerts as AlertsClient, raw alerts;
    calls {
        /// Alerts, the newest last.
        list(ListAlertsRequest) -> ListAlertsResponse;
        /// Takes note of an alert.
        acknowledge(AcknowledgeAlertRequest) -> AcknowledgeAlertResponse;
        /// Raises an alert that says nothing.
        test(TestAlertRequest) -> TestAlertResponse;
        /// Sends alerts to one more place.
        put_sink(PutSinkRequest) -> AlertSink;
        /// Sends alerts there no more.
        delete_sink(DeleteSinkRequest) -> DeleteSinkResponse;
        /// Where alerts go, and how far behind each place is.
        list_sinks(ListSinksRequest) -> ListSinksResponse;
    }
    streams {}
}

service! {
    /// Promotions between environments.
    Promotions as PromotionsClient, raw promotions;
    calls {
        /// Plans which values go from one environment to another.
        plan(PlanPromotionRequest) -> Promotion;
        /// A plan and where it stands.
        get(PromotionRequest) -> Promotion;
        /// Plans that the caller may see.
        list(ListPromotionsRequest) -> ListPromotionsResponse;
        /// Says yes to a plan of somebody else.
        approve(PromotionRequest) -> Promotion;
        /// Says no to a plan.
        reject(PromotionRequest) -> Promotion;
        /// Takes a plan of one's own back.
        cancel(PromotionRequest) -> Promotion;
        /// Carries out an approved plan.
        apply(PromotionRequest) -> Promotion;
    }
    streams {}
}

service! {
    /// Rules for values.
    ValueRules as ValueRulesClient, raw value_rules;
    calls {
        /// Writes a rule.
        put(PutValueRuleRequest) -> ValueRule;
        /// Deletes a rule.
        delete(DeleteValueRuleRequest) -> DeleteValueRuleResponse;
        /// Lists the rules.
        list(ListValueRulesRequest) -> ListValueRulesResponse;
        /// Finds secrets that break a rule.
        check(CheckValueRulesRequest) -> CheckValueRulesResponse;
    }
    streams {}
}

service! {
    /// The cluster and its members.
    Cluster as ClusterClient, raw cluster;
    calls {
        /// The cluster as the node that answers sees it.
        status(StatusRequest) -> StatusResponse;
        /// Adds a member that receives everything and does not vote.
        add_learner(AddLearnerRequest) -> MembershipResponse;
        /// Lets a learner vote.
        promote(MemberRequest) -> MembershipResponse;
        /// Takes a voter's vote; it stays as a learner.
        demote(MemberRequest) -> MembershipResponse;
        /// Takes a member out.
        remove(MemberRequest) -> MembershipResponse;
        /// Puts a learner in a member's place.
        replace(ReplaceRequest) -> MembershipResponse;
        /// Hands leadership over.
        transfer_leader(MemberRequest) -> MembershipResponse;
        /// Makes a snapshot on the node that answers.
        trigger_snapshot(TriggerSnapshotRequest) -> TriggerSnapshotResponse;
        /// How the node that answers is; needs no token.
        health(HealthRequest) -> HealthResponse;
        /// Lets a node take no calls and hand leadership over; the node itself has to be among the endpoints.
        drain(MemberRequest) -> MembershipResponse;
        /// Lets a drained node take calls again.
        resume(MemberRequest) -> MembershipResponse;
    }
    streams {}
}

service! {
    /// Keys of environments, of the system and of the cluster.
    Keys as KeysClient, raw keys;
    calls {
        /// Versions of all keys, and how many values each wraps.
        status(KeyStatusRequest) -> KeyStatusResponse;
        /// Adds a version of an environment's key, or of the system's.
        rotate(RotateKeyRequest) -> RotateKeyResponse;
        /// Seals one environment, cluster-wide.
        seal_environment(SealEnvironmentRequest) -> SealEnvironmentResponse;
        /// Unseals it.
        unseal_environment(SealEnvironmentRequest) -> SealEnvironmentResponse;
        /// Makes a new root key and hands it to every member.
        rotate_root(RotateRootRequest) -> RotateRootResponse;
        /// Forgets root keys that nothing needs any more.
        drop_roots(DropRootsRequest) -> DropRootsResponse;
        /// Begins a change of the seal.
        rekey(RekeyRequest) -> RekeyResponse;
        /// Ends it.
        confirm_rekey(ConfirmRekeyRequest) -> ConfirmRekeyResponse;
        /// The sealed seal file, for a node that is new.
        seal_file(SealFileRequest) -> SealFileResponse;
    }
    streams {}
}

service! {
    /// Logging in.
    Login as LoginClient, raw login;
    calls {
        /// A user's password, and a code of the second factor.
        password(LoginPasswordRequest) -> LoginResponse;
        /// A machine's role id and secret id.
        machine(LoginMachineRequest) -> LoginResponse;
        /// The client certificate of the connection.
        certificate(LoginCertificateRequest) -> LoginResponse;
        /// A signed token of an issuer.
        jwt(LoginJwtRequest) -> LoginResponse;
    }
    streams {}
}

service! {
    /// The seal of the node that answers.
    Seal as SealClient, raw seal;
    calls {
        /// Where the node stands.
        status(SealStatusRequest) -> SealStatusResponse;
        /// Makes the keys of a new cluster.
        init(InitRequest) -> InitResponse;
        /// Takes the seal file of a cluster.
        adopt(AdoptRequest) -> SealStatusResponse;
        /// A new token that may everything, for whoever opens the seal.
        root_token(RootTokenRequest) -> RootTokenResponse;
        /// Gives a share, a passphrase or a key.
        unseal(UnsealRequest) -> SealStatusResponse;
        /// Forgets every key.
        seal(SealRequest) -> SealStatusResponse;
    }
    streams {}
}

service! {
    /// Users.
    Users as UsersClient, raw users;
    calls {
        /// Makes a user.
        create(CreateUserRequest) -> User;
        /// Lists users.
        list(ListUsersRequest) -> ListUsersResponse;
        /// One user.
        get(UserRequest) -> User;
        /// Refuses every login of a user and ends its tokens.
        disable(UserRequest) -> UserResponse;
        /// The opposite of `disable`.
        enable(UserRequest) -> UserResponse;
        /// Deletes a user and ends its tokens.
        delete(UserRequest) -> UserResponse;
        /// Takes a lock away.
        unlock(UserRequest) -> UserResponse;
        /// Sets a password and ends the user's tokens.
        set_password(SetPasswordRequest) -> UserResponse;
        /// Makes a second factor.
        enrol_totp(UserRequest) -> EnrolTotpResponse;
        /// Shows the first code of a second factor.
        confirm_totp(ConfirmTotpRequest) -> UserResponse;
        /// Takes a second factor away.
        remove_totp(UserRequest) -> UserResponse;
        /// Sets what a login gives and ends the user's tokens.
        set_grants(SetGrantsRequest) -> User;
    }
    streams {}
}

service! {
    /// Machines.
    Machines as MachinesClient, raw machines;
    calls {
        /// Makes a machine.
        create(CreateMachineRequest) -> Machine;
        /// Lists machines.
        list(ListMachinesRequest) -> ListMachinesResponse;
        /// Deletes a machine and ends its tokens.
        delete(MachineRequest) -> MachineResponse;
        /// Makes a secret id.
        issue_secret_id(IssueSecretIdRequest) -> IssueSecretIdResponse;
        /// Lists the secret ids of a machine.
        list_secret_ids(MachineRequest) -> ListSecretIdsResponse;
        /// Ends a secret id.
        revoke_secret_id(RevokeSecretIdRequest) -> MachineResponse;
        /// Sets what a login gives and ends the machine's tokens.
        set_grants(SetGrantsRequest) -> Machine;
    }
    streams {}
}

service! {
    /// Wrapping.
    Wrapping as WrappingClient, raw wrapping;
    calls {
        /// Wraps what the caller brings.
        wrap(WrapRequest) -> WrapToken;
        /// Reads a secret and wraps it.
        wrap_secret(WrapSecretRequest) -> WrapToken;
        /// Opens a wrapping, once.
        unwrap(UnwrapRequest) -> UnwrapResponse;
        /// What is in a wrapping.
        lookup(UnwrapRequest) -> WrapToken;
    }
    streams {}
}

service! {
    /// Certificate roles.
    CertRoles as CertRolesClient, raw cert_roles;
    calls {
        /// Writes a certificate role.
        put(CertRole) -> CertRole;
        /// Lists certificate roles.
        list(ListCertRolesRequest) -> ListCertRolesResponse;
        /// Deletes a certificate role and ends the tokens of its logins.
        delete(CertRoleRequest) -> CertRoleResponse;
    }
    streams {}
}

service! {
    /// Issuers of signed tokens.
    Issuers as IssuersClient, raw issuers;
    calls {
        /// Writes an issuer.
        put(Issuer) -> Issuer;
        /// Lists issuers.
        list(ListIssuersRequest) -> ListIssuersResponse;
        /// Deletes an issuer and ends the tokens of its logins.
        delete(IssuerRequest) -> IssuerResponse;
    }
    streams {}
}

service! {
    /// Snapshots for disaster recovery.
    Snapshots as SnapshotsClient, raw snapshots;
    calls {
        /// Has the node that answers put a snapshot where its settings say.
        save_to_store(SaveToStoreRequest) -> SaveToStoreResponse;
        /// What lies where the node's settings say.
        list(ListSnapshotsRequest) -> ListSnapshotsResponse;
        /// Deletes old snapshots from where the node's settings say.
        prune(PruneSnapshotsRequest) -> PruneSnapshotsResponse;
        /// Records what a drill found.
        report_drill(ReportDrillRequest) -> ReportDrillResponse;
    }
    streams {
        /// Makes a snapshot and sends it.
        save(SaveSnapshotRequest) -> SnapshotPart;
        /// Brings back what an environment held.
        restore(RestoreInPlaceRequest) -> RestoreInPlaceEvent;
    }
}
