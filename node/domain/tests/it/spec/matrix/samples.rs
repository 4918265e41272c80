//! A sample of every operation: a request that nothing but a policy could stand in the way of, with what has to be there for it.

use super::super::guard::{guard, sink, test_alert, upkeep as guard_upkeep};
use super::super::keys;
use super::super::recovery;
use super::super::world::{HOME, founding_of, wrapped_key};
use super::*;
use node_domain::Command;
use node_domain::guard::{
    Classes, Difference, EnvironmentChange, GuardCommand, GuardUpkeep, PromotionItem, Reuse, Severity, ValueRule,
};
use node_domain::identity::{
    CertificateLogin, Grants, IdentityCommand, Issuer, IssuerKeys, JwtLogin, LoginCommand, MachineLogin, NameGlob,
    PasswordChange, PasswordHash, PasswordLogin, SecondFactor, TotpWish, UserWish, WrapWish,
};
use node_domain::ids::{Accessor, IdentityName, RuleName, SinkName, Stamp};
use node_domain::keys::{FoundingKeys, KeysCommand, KeysUpkeep, SealAbout};
use node_domain::limits;
use node_domain::recovery::{RecoveryCommand, RecoveryUpkeep};
use node_domain::repair::{RepairPart, RepairStep, RepairUpkeep};
use std::collections::BTreeMap;

/// What an operation is asked with.
pub(super) enum Sample {
    /// By whoever has a token.
    Asked(Request),
    /// Without one: it is what one gets one by, or shows another thing.
    Open(Request),
    /// By the cluster of itself.
    Itself(Request),
    /// By nobody: it is the record of something that goes along with this request of `root`.
    Beside(Box<World>, Request),
    /// By nobody who asks a cluster: it is the first record of a timeline.
    Offline,
}

use Sample::{Asked as By, Beside, Itself, Offline, Open};

/// One match without a wildcard arm: an operation without a sample does not compile.
macro_rules! samples {
    ($($operation:ident => $sample:expr,)*) => {
        pub(super) fn sample(operation: Operation) -> Sample {
            match operation { $(Operation::$operation => $sample,)* }
        }
    };
}

samples! {
    Found => By(Box::new(|_| Command::Found(Box::new(founding_of(["production"], [8; 32]))))),
    SecretPut => By(put("new")),
    SecretPatch => By(patch("live")),
    SecretRead => By(read("live")),
    SecretSetMetadata => By(set_metadata("live", described("x"))),
    SecretList => By(list("")),
    SecretSearch => By(search("")),
    SecretHistory => By(history("live")),
    SecretRollback => By(rollback("live", 1)),
    SecretDelete => By(delete("live")),
    SecretUndelete => By(undelete("hidden")),
    SecretDestroy => By(destroy("live")),
    SecretCopy => By(copy("live", "copied")),
    SecretMove => By(rename("live", "moved")),
    SecretTransact => By(transact(vec![putting("live", None), putting("other", None)])),
    SecretWatch => By(watch("")),
    EnvironmentList => By(list_environments()),
    CatchUp => By(Box::new(|_| Command::CatchUp)),
    EnvironmentCreate => By(create_environment("new")),
    EnvironmentSet => By(guard(GuardCommand::SetEnvironment {
        environment: environment(HOME),
        change: EnvironmentChange { approvals: Some(2) },
    })),
    TokenCreate => By(create_token("zoe", &["shared"])),
    TokenLookupSelf => By(lookup_self()),
    TokenList => By(list_tokens()),
    TokenRevoke => By(revoke("somebody")),
    TokenRenew => By(Box::new(|world| {
        let mut wish = TokenWish::plain(world.draw_hash(), principal("zoe"), vec![policy("shared")], 60_000);
        wish.renewal_ms = 60_000;
        let accessor = Some(Accessor::of(&wish.hash));
        world.establish(Command::CreateToken(Box::new(wish)));
        identity(IdentityCommand::RenewToken { accessor, increment_ms: 0 })
    })),
    TokenLookup => By(Box::new(|world| identity(IdentityCommand::LookupToken { accessor: world.accessor("somebody") }))),
    TokenUse => Beside(Box::new(with_a_limited_token()), read("live")),
    PolicyPut => By(put_policy("team", vec![rule("read", "*")])),
    PolicyRead => By(read_policy("team")),
    PolicyList => By(list_policies()),
    PolicyDelete => By(delete_policy("team")),
    RolePut => By(put_role("team", &["team"])),
    RoleRead => By(read_role("team")),
    RoleList => By(list_roles()),
    RoleDelete => By(delete_role("team")),
    PolicyTest => By(test_policy(question(Whom::Principal(principal("somebody")), "live"))),
    PolicySimulate => By(simulate_policy("team", vec![])),
    AuditQuery => By(audit_as(Operation::AuditQuery)),
    AuditTail => By(audit_as(Operation::AuditTail)),
    AuditExport => By(audit_as(Operation::AuditExport)),
    AuditHead => By(audit_as(Operation::AuditHead)),
    ClusterStatus => By(cluster_as(Operation::ClusterStatus)),
    ClusterAddLearner => By(cluster_as(Operation::ClusterAddLearner)),
    ClusterPromote => By(cluster_as(Operation::ClusterPromote)),
    ClusterRemove => By(cluster_as(Operation::ClusterRemove)),
    ClusterTransferLeader => By(cluster_as(Operation::ClusterTransferLeader)),
    ClusterSnapshot => By(cluster_as(Operation::ClusterSnapshot)),
    ClusterDrain => By(cluster_as(Operation::ClusterDrain)),
    ClusterResume => By(cluster_as(Operation::ClusterResume)),
    ClusterReplace => By(cluster_as(Operation::ClusterReplace)),
    ClusterDemote => By(cluster_as(Operation::ClusterDemote)),
    MemberSeen => Itself(members::see(&[(1, "a", true)])),
    MemberLeft => Itself(Box::new(|world| {
        let both = members::see(&[(1, "a", true), (2, "b", true)])(world);
        world.establish(both);
        members::see(&[(1, "a", true)])(world)
    })),
    MemberAnnounced => Itself(members::announce(1, 1)),
    LevelRaised => Beside(Box::new(full_world().and(done(members::see(&[(1, "a", true)])))), members::announce(1, 1)),
    SnapshotSave => By(snapshots_as(Operation::SnapshotSave)),
    SnapshotSaved => Itself(recovery::upkeep(RecoveryUpkeep::Saved(recovery::saved(None, 4)))),
    SnapshotFailed => Itself(recovery::upkeep(RecoveryUpkeep::Failed { to: "s3://backups".into(), why: "full".into() })),
    SnapshotList => By(snapshots_as(Operation::SnapshotList)),
    SnapshotPrune => By(snapshots_as(Operation::SnapshotPrune)),
    SnapshotPruned => Itself(recovery::upkeep(RecoveryUpkeep::Pruned { from: "s3://backups".into(), count: 1, bytes: 9 })),
    SnapshotRestore => By(recovery::ask(RecoveryCommand::Restore { environment: environment(HOME), subject: "db/".into() })),
    DrillReport => By(recovery::ask(RecoveryCommand::ReportDrill(recovery::drill(true)))),
    ClusterRestored => Offline,
    ClusterRecovered => Offline,
    SealInit => Beside(Box::new(newborn()), Box::new(|_| {
        let keys = FoundingKeys { system_key: wrapped_key("system"), seal: SealAbout::default() };
        Command::Found(Box::new(Founding { keys: Some(keys), ..founding_of(["production"], [0; 32]) }))
    })),
    SealUnseal => Itself(keys::upkeep(KeysUpkeep::NodeUnsealed { node: 2, kind: "shamir".into() })),
    RootMint => Itself(keys::upkeep(KeysUpkeep::MintRoot { token: [8; 32], ttl_ms: 0 })),
    SealSeal => By(keys::ask(KeysCommand::SealNode { node: 2 })),
    SealRekey => By(ask_about_keys(Operation::SealRekey)),
    KeyRotateRoot => By(ask_about_keys(Operation::KeyRotateRoot)),
    KeyRotate => By(keys::rotate(HOME, 2)),
    KeyRewrap => Itself(with_root(keys::rotate(HOME, 2), keys::rewrap(2, &[("live", 2)]))),
    KeyRetire => Itself(Box::new(|world| {
        world.establish_all([create_environment("empty"), keys::rotate("empty", 2)]);
        Command::Upkeep(Box::new(Upkeep::Keys(KeysUpkeep::RetireEnvironmentKey { environment: environment("empty"), version: 1 })))
    })),
    EnvironmentSeal => By(keys::seal(HOME)),
    EnvironmentUnseal => By(with_root(keys::seal(HOME), keys::unseal(HOME))),
    KeyStatus => By(ask_about_keys(Operation::KeyStatus)),
    KeyRotateSystem => By(keys::ask(KeysCommand::RotateSystem { version: 1, wrapped_key: wrapped_key("system") })),
    KeyDropRoots => By(ask_about_keys(Operation::KeyDropRoots)),
    UserCreate => By(Box::new(|_| identity(create_user("zoe")))),
    UserList => By(Box::new(|_| identity(IdentityCommand::ListUsers))),
    UserRead => By(of_user(|name| IdentityCommand::ReadUser { name })),
    UserDisable => By(of_user(|name| IdentityCommand::DisableUser { name })),
    UserEnable => By(of_user(|name| IdentityCommand::EnableUser { name })),
    UserDelete => By(of_user(|name| IdentityCommand::DeleteUser { name })),
    UserPassword => By(of_user(|name| {
        IdentityCommand::SetPassword(PasswordChange { name, password: password(2), proven: None })
    })),
    UserTotpEnrol => By(of_user(enrol)),
    UserTotpConfirm => By(Box::new(|world| {
        world.establish_all([of_user(enrol)]);
        let user = world.state.identity().user(&called("ursula")).unwrap();
        let digest = user.totp_pending.as_ref().unwrap().digest;
        let steps = vec![world.now.0 / limits::TOTP_STEP_US];
        identity(IdentityCommand::ConfirmTotp { name: called("ursula"), digest, steps })
    })),
    UserTotpRemove => By(of_user(|name| IdentityCommand::RemoveTotp { name })),
    UserUnlock => By(of_user(|name| IdentityCommand::UnlockUser { name })),
    LoginPassword => Open(log_in(true)),
    LoginMachine => Open(Box::new(|world| {
        let secret = with_a_machine(world);
        let token = world.draw_hash();
        Command::Login(Box::new(LoginCommand::Machine(MachineLogin { role_id: [5; 16], secret, token })))
    })),
    LoginCertificate => Open(Box::new(|world| {
        world.establish(identity(cert_role()));
        Command::Login(Box::new(LoginCommand::Certificate(CertificateLogin {
            role: None,
            names: vec!["ci.example.org".into()],
            common_name: String::new(),
            fingerprint: [4; 32],
            not_after: world.now.plus_ms(DAY_MS),
            token: world.draw_hash(),
        })))
    })),
    LoginJwt => Open(Box::new(|world| {
        world.establish(identity(issuer()));
        Command::Login(Box::new(LoginCommand::Jwt(JwtLogin {
            issuer: called("github"),
            version: world.state.identity().issuer(&called("github")).unwrap().version,
            subject: "repo:org/app".into(),
            id: String::new(),
            expires: world.now.plus_ms(DAY_MS),
            token: world.draw_hash(),
        })))
    })),
    LoginFailed => Beside(Box::new(full_world()), log_in(false)),
    MachineCreate => By(Box::new(|_| identity(create_machine()))),
    MachineList => By(Box::new(|_| identity(IdentityCommand::ListMachines))),
    MachineDelete => By(of_machine(|name| IdentityCommand::DeleteMachine { name })),
    MachineSecretId => By(of_machine(|machine| {
        IdentityCommand::IssueSecretId { machine, hash: [7; 32], ttl_ms: 0, uses: 0 }
    })),
    MachineSecretIds => By(of_machine(|machine| IdentityCommand::ListSecretIds { machine })),
    MachineRevokeSecretId => By(Box::new(|world| {
        let accessor = Accessor::of(&with_a_machine(world));
        identity(IdentityCommand::RevokeSecretId { machine: called("ci"), accessor })
    })),
    Wrap => By(Box::new(|_| identity(wrap([9; 32])))),
    Unwrap => Open(Box::new(|world| {
        world.establish(identity(wrap([9; 32])));
        Command::Login(Box::new(LoginCommand::Unwrap { hash: [9; 32] }))
    })),
    WrapLookup => Open(Box::new(|world| {
        world.establish(identity(wrap([9; 32])));
        Command::Login(Box::new(LoginCommand::LookupWrapped { hash: [9; 32] }))
    })),
    WrapEnd => Beside(
        Box::new(full_world().and(done(Box::new(|_| identity(wrap([9; 32]))))).and(later_ms(DAY_MS))),
        Box::new(|_| identity(wrap([10; 32]))),
    ),
    CertRolePut => By(Box::new(|_| identity(cert_role()))),
    CertRoleList => By(Box::new(|_| identity(IdentityCommand::ListCertRoles))),
    CertRoleDelete => By(Box::new(|world| {
        world.establish(identity(cert_role()));
        identity(IdentityCommand::DeleteCertRole { name: called("web") })
    })),
    IssuerPut => By(Box::new(|_| identity(issuer()))),
    IssuerList => By(Box::new(|_| identity(IdentityCommand::ListIssuers))),
    IssuerDelete => By(Box::new(|world| {
        world.establish(identity(issuer()));
        identity(IdentityCommand::DeleteIssuer { name: called("github") })
    })),
    RepairBegin => Itself(repair(RepairStep::Began { found: "a block does not read".into() })),
    RepairDone => Itself(repair(RepairStep::Done)),
    RepairFail => Itself(repair(RepairStep::Failed { why: "nobody has it".into() })),
    StateCheck => Itself(Box::new(|world| {
        let (revision, digest) = (world.state.revision(), world.state.digest());
        Command::Upkeep(Box::new(Upkeep::Repair(RepairUpkeep::CheckState { revision, digest })))
    })),
    AlertRaise => Beside(Box::new(full_world()), keys::seal(HOME)),
    AlertList => By(guard(GuardCommand::ListAlerts)),
    AlertAcknowledge => By(Box::new(|world| {
        let alert = with_an_alert(world);
        Command::Guard(Box::new(GuardCommand::Acknowledge { alert }))
    })),
    AlertTest => By(test_alert(Severity::Note)),
    AlertDeliver => Itself(Box::new(|world| {
        let alert = with_an_alert(world);
        guard_upkeep(GuardUpkeep::Delivered { alert, sink: SinkName::parse("chat").unwrap() })(world)
    })),
    SinkPut => By(sink("chat", Severity::Note)),
    SinkDelete => By(with_root(
        sink("chat", Severity::Note),
        guard(GuardCommand::DeleteSink { name: SinkName::parse("chat").unwrap() }),
    )),
    SinkList => By(guard(GuardCommand::ListSinks)),
    AddressSeen => Beside(Box::new(full_world().and(calling_from(Some("192.0.2.1")))), read("live")),
    PromotionPlan => By(plan()),
    PromotionRead => By(of_plan(|id| GuardCommand::ReadPromotion { id })),
    PromotionApprove => By(of_plan(|id| GuardCommand::ApprovePromotion { id })),
    PromotionReject => By(of_plan(|id| GuardCommand::RejectPromotion { id, reason: "not today".into() })),
    PromotionApply => By(Box::new(|world| {
        let sealed = vec![world.seal("promoted")];
        let id = with_a_plan(world, true);
        Command::Guard(Box::new(GuardCommand::ApplyPromotion { id, sealed }))
    })),
    PromotionCancel => By(Box::new(|world| {
        // It is for who asked for the plan: here whoever may approve, for the sake of the table.
        let command = plan()(world);
        world.establish_as("approver", command);
        let id = world.state.guard().promotions.plans().next_back().unwrap().id;
        Command::Guard(Box::new(GuardCommand::CancelPromotion { id }))
    })),
    RulePut => By(guard(GuardCommand::PutRule(Box::new(value_rule())))),
    RuleDelete => By(with_root(
        guard(GuardCommand::PutRule(Box::new(value_rule()))),
        guard(GuardCommand::DeleteRule { name: value_rule().name }),
    )),
    RuleList => By(guard(GuardCommand::ListRules)),
    RuleCheck => By(guard(GuardCommand::CheckRules { environment: None })),
    UserGrant => By(of_user(|name| IdentityCommand::SetUserGrants { name, grants: grants() })),
    MachineGrant => By(of_machine(|name| IdentityCommand::SetMachineGrants { name, grants: grants() })),
}

impl World {
    /// Asks for these in the name of root, one after the other.
    fn establish_all<const N: usize>(&mut self, requests: [Request; N]) {
        for request in requests {
            let command = request(self);
            self.establish(command);
        }
    }
}

/// Root asks for the first, and then the second is asked.
fn with_root(first: Request, then: Request) -> Request {
    Box::new(|world| {
        world.establish_all([first]);
        then(world)
    })
}

/// A world in which what `root` shows is a token with a number of uses, and root's rights.
fn with_a_limited_token() -> World {
    let mut world = full_world();
    let wish = TokenWish::plain(world.draw_hash(), principal("root"), vec![policy("root")], 0);
    let hash = wish.hash;
    world.establish(Command::CreateToken(Box::new(TokenWish { uses_max: 3, ..wish })));
    world.hold("root", hash);
    world
}

fn ask_about_keys(operation: Operation) -> Request {
    keys::ask(KeysCommand::Ask { operation, subject: "x".into() })
}

fn identity(command: IdentityCommand) -> Command {
    Command::Identity(Box::new(command))
}

fn called(name: &str) -> IdentityName {
    IdentityName::parse(name).unwrap()
}

fn password(seed: u8) -> PasswordHash {
    PasswordHash { salt: [seed; 16], hash: [seed; 32], memory_kib: 64, passes: 1, lanes: 1 }
}

fn grants() -> Grants {
    Grants { policies: vec![policy("shared")], ttl_ms: 60_000, ttl_ms_max: 180_000, ..Grants::default() }
}

fn create_user(name: &str) -> IdentityCommand {
    IdentityCommand::CreateUser(UserWish { name: called(name), password: password(1), grants: grants(), requires_totp: false })
}

/// Something is asked about the user `ursula`, who is there.
fn of_user(ask: impl FnOnce(IdentityName) -> IdentityCommand + 'static) -> Request {
    Box::new(|world| {
        if world.state.identity().user(&called("ursula")).is_none() {
            world.establish(identity(create_user("ursula")));
        }
        identity(ask(called("ursula")))
    })
}

fn enrol(name: IdentityName) -> IdentityCommand {
    IdentityCommand::EnrolTotp(TotpWish { name, sealed: wrapped_key("totp"), recovery: vec![[3; 32]] })
}

fn log_in(password_fits: bool) -> Request {
    Box::new(move |world| {
        world.establish(identity(create_user("ursula")));
        let token = world.draw_hash();
        password_login(world, "ursula", password_fits, token)
    })
}

fn password_login(world: &World, name: &str, password_fits: bool, token: [u8; 32]) -> Command {
    let credential = world.state.identity().user(&called(name)).unwrap().credential;
    let (user, factor) = (called(name), SecondFactor::None);
    Command::Login(Box::new(LoginCommand::Password(PasswordLogin { user, credential, password_fits, factor, token })))
}

/// `who` has logged in with his own password and may what his policy says: nobody made his token for him.
pub(super) fn has_logged_in(world: &mut World, who: &str) {
    let policies = vec![policy(&format!("of-{who}"))];
    let grants = Grants { policies, ttl_ms: DAY_MS, ..Grants::default() };
    let wish = UserWish { name: called(who), password: password(3), grants, requires_totp: false };
    world.establish(identity(IdentityCommand::CreateUser(wish)));
    let token = world.draw_hash();
    world.establish(password_login(world, who, true, token));
    world.hold(who, token);
}

fn create_machine() -> IdentityCommand {
    let (name, grants) = (called("ci"), grants());
    IdentityCommand::CreateMachine { name, role_id: [5; 16], grants, secret_ttl_ms: 0, secret_uses: 0 }
}

/// The machine `ci` is there with a secret id of this hash.
fn with_a_machine(world: &mut World) -> [u8; 32] {
    world.establish(identity(create_machine()));
    world.establish(identity(IdentityCommand::IssueSecretId { machine: called("ci"), hash: [6; 32], ttl_ms: 0, uses: 0 }));
    [6; 32]
}

fn of_machine(ask: impl FnOnce(IdentityName) -> IdentityCommand + 'static) -> Request {
    Box::new(|world| {
        with_a_machine(world);
        identity(ask(called("ci")))
    })
}

fn cert_role() -> IdentityCommand {
    let names = vec![NameGlob::parse("*.example.org").unwrap()];
    IdentityCommand::PutCertRole { name: called("web"), names, common_names: Vec::new(), grants: grants() }
}

fn issuer() -> IdentityCommand {
    IdentityCommand::PutIssuer(Box::new(Issuer {
        name: called("github"),
        url: "https://issuer.example.org".into(),
        audience: "holdfast".into(),
        keys: IssuerKeys::Inline("{\"keys\":[]}".into()),
        bound_claims: BTreeMap::new(),
        grants: grants(),
        version: 0,
        updated: Stamp(0),
    }))
}

fn wrap(hash: [u8; 32]) -> IdentityCommand {
    IdentityCommand::Wrap(WrapWish {
        hash,
        payload: wrapped_key("wrapped"),
        about: "token of ana".into(),
        ttl_ms: 60_000,
        of: None,
    })
}

fn snapshots_as(operation: Operation) -> Request {
    recovery::ask(RecoveryCommand::Ask { operation, subject: "s3://backups".into() })
}

/// An alert that is owed to `chat`.
fn with_an_alert(world: &mut World) -> u64 {
    world.establish_all([sink("chat", Severity::Note), test_alert(Severity::Note)]);
    world.state.guard().outbox.alerts().next_back().unwrap().id
}

fn plan() -> Request {
    Box::new(|_| {
        let (at, difference) = (path("app"), Difference::default());
        let items = vec![PromotionItem { from: at.clone(), from_version: 1, to: at, to_version: 0, difference }];
        let (from, to) = (environment("staging"), environment("production"));
        Command::Guard(Box::new(GuardCommand::PlanPromotion { from, to, items }))
    })
}

/// A plan that `rita` asked for, and `bob` has approved where it is so.
fn with_a_plan(world: &mut World, approved: bool) -> u64 {
    let command = plan()(world);
    world.establish_as("rita", command);
    let id = world.state.guard().promotions.plans().next_back().unwrap().id;
    if approved {
        world.establish_as("bob", Command::Guard(Box::new(GuardCommand::ApprovePromotion { id })));
    }
    id
}

fn of_plan(ask: impl FnOnce(u64) -> GuardCommand + 'static) -> Request {
    Box::new(move |world| Command::Guard(Box::new(ask(with_a_plan(world, false)))))
}

fn value_rule() -> ValueRule {
    ValueRule {
        name: RuleName::parse("strong").unwrap(),
        kind: None,
        environment: None,
        path: None,
        length_min: 16,
        length_max: 0,
        classes: Classes::default(),
        regex: None,
        json_schema: None,
        reuse: Reuse::Allow,
        ttl_ms_max: None,
        version: 0,
        updated: Stamp(0),
    }
}

fn repair(step: RepairStep) -> Request {
    let upkeep = RepairUpkeep::Report { node: 2, part: RepairPart::Journal, step };
    Box::new(move |_| Command::Upkeep(Box::new(Upkeep::Repair(upkeep))))
}
