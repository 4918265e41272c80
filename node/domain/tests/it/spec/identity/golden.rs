//! The bytes of every event of identities, and of every piece. `HOLDFAST_BLESS=1 cargo test -p node-domain -- golden` blesses new ones.

use super::*;
use crate::golden::assert_golden;
use bytes::Bytes;
use node_domain::identity::{
    CertRole, FailedBy, Failures, IdentityEvent, IdentityPiece, Issuer, IssuerKeys, Machine, NameGlob, SecretId, Totp, User,
    Wrapped, WrappedOf,
};
use node_domain::token::Login;
use node_domain::{Event, State};
use proto_record::codec::{self, Kind};
use std::collections::BTreeSet;
use std::sync::Arc;

const MADE: Stamp = Stamp(1_780_000_000_000_000);

fn grants() -> Grants {
    Grants {
        policies: vec![policy("readers")],
        roles: vec![node_domain::ids::RoleName::parse("operator").unwrap()],
        ttl_ms: 3_600_000,
        ttl_ms_max: 7_200_000,
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        environments: vec![environment("production")],
    }
}

fn totp() -> Totp {
    Totp { last_step: 59_000_000, ..Totp::new(Bytes::from_static(b"sealed"), vec![[1; 32], [2; 32]]) }
}

fn user() -> User {
    User {
        name: called("ana"),
        password: Some(hashed(3)),
        credential: 300,
        grants: grants(),
        totp: Some(totp()),
        totp_pending: Some(totp()),
        requires_totp: true,
        disabled: true,
        failures: Failures { recent: vec![MADE], locked_until: Some(MADE) },
        created: MADE,
        created_by: principal("root"),
    }
}

fn machine() -> Machine {
    let (created, created_by) = (MADE, principal("root"));
    Machine { name: called("ci"), role_id: [4; 16], grants: grants(), secret_ttl_ms: 1, secret_uses: 2, created, created_by }
}

fn secret_id() -> SecretId {
    SecretId {
        machine: called("ci"),
        hash: [5; 32],
        accessor: Accessor([6; 12]),
        expires: Some(MADE),
        uses_left: Some(2),
        created: MADE,
        created_by: principal("root"),
    }
}

fn wrapped_of() -> WrappedOf {
    let environment = node_domain::ids::EnvironmentName::parse("production").unwrap();
    WrappedOf { hash: [7; 32], environment, secret: node_domain::ids::SecretId(70_000), version: 300 }
}

fn wrapped() -> Wrapped {
    Wrapped {
        hash: [7; 32],
        accessor: Accessor([8; 12]),
        payload: Bytes::from_static(b"sealed"),
        digest: [9; 32],
        about: "token of ana".into(),
        unwrapped: Some(MADE),
        expires: MADE,
        created: MADE,
        created_by: principal("root"),
    }
}

fn cert_role() -> CertRole {
    let names = vec![NameGlob::parse("*.example.org").unwrap()];
    CertRole { name: called("ci"), names, common_names: vec!["backup".into()], grants: grants(), updated: MADE }
}

fn issuer(keys: IssuerKeys) -> Issuer {
    Issuer {
        name: called("github"),
        url: "https://issuer".into(),
        audience: "holdfast".into(),
        keys,
        bound_claims: [("repository".to_owned(), "org/app".to_owned())].into(),
        grants: grants(),
        version: 12,
        updated: MADE,
    }
}

fn events() -> Vec<IdentityEvent> {
    use IdentityEvent as E;
    let (name, accessor, ana) = (|| called("ana"), Accessor([7; 12]), || principal("ana"));
    let mut events = vec![
        E::TokenRenewed { accessor, principal: ana(), expires: MADE },
        E::TokenUsed { accessor, principal: ana(), left: 3 },
        E::UserCreated { user: Box::new(user()) },
        E::UserDisabled { name: name() },
        E::UserEnabled { name: name() },
        E::UserDeleted { name: name() },
        E::UserPasswordSet { name: name(), password: Some(hashed(3)), digest: hashed(3).digest() },
        E::TotpEnrolled { name: name(), sealed: totp().sealed, digest: totp().digest, recovery: totp().recovery },
        E::TotpConfirmed { name: name(), step: 59_000_001 },
        E::TotpRemoved { name: name() },
        E::UserUnlocked { name: name() },
        E::UserLoggedIn { name: name(), step: Some(59_000_002), recovery: Some([1; 32]) },
        E::MachineCreated { machine: Box::new(machine()) },
        E::MachineDeleted { name: called("ci") },
        E::SecretIdIssued { secret: Box::new(secret_id()) },
        E::SecretIdRevoked { machine: called("ci"), accessor },
        E::SecretIdUsed { machine: called("ci"), accessor, left: Some(1) },
        E::Wrapped { wrapped: Box::new(wrapped()) },
        E::Unwrapped { accessor, about: "token of ana".into() },
        E::WrappedEnded { accessor, about: "token of ana".into(), was_unwrapped: true },
        E::CertRolePut { role: Box::new(cert_role()) },
        E::CertRoleDeleted { name: called("ci") },
        E::IssuerPut { issuer: Box::new(issuer(IssuerKeys::Inline("{}".into()))) },
        E::IssuerPut { issuer: Box::new(issuer(IssuerKeys::Url("https://issuer/keys".into()))) },
        E::IssuerDeleted { name: called("github") },
        E::CertificateLoggedIn { role: called("ci"), fingerprint: [2; 32], shown: "a.example.org".into() },
        E::JwtLoggedIn { issuer: called("github"), subject: "repo".into(), id: "1".into() },
    ];
    let causes = [
        FailedBy::Unknown,
        FailedBy::Locked,
        FailedBy::Disabled,
        FailedBy::Secret,
        FailedBy::Code,
        FailedBy::NoCode,
        FailedBy::Address,
    ];
    events.extend(causes.map(|cause| E::LoginFailed { login: Login::Password, user: Some(called("ana")), cause }));
    events.extend([
        E::UserGrantsSet { name: name(), before: Box::new(grants()), after: Box::new(Grants::default()) },
        E::MachineGrantsSet { name: called("ci"), before: Box::new(Grants::default()), after: Box::new(grants()) },
    ]);
    let later = [FailedBy::Signature, FailedBy::Claims, FailedBy::Time, FailedBy::Keys];
    events.extend(later.map(|cause| E::LoginFailed { login: Login::Jwt, user: None, cause }));
    events.push(E::SecretWrapped { wrapped: Box::new(wrapped()), of: wrapped_of() });
    events
}

/// Names every variant: a new one does not compile until it stands here.
fn name(event: &IdentityEvent) -> &'static str {
    macro_rules! names {
        ($($name:ident)*) => {
            match event { $(IdentityEvent::$name { .. } => stringify!($name)),* }
        };
    }
    names!(TokenRenewed TokenUsed UserCreated UserDisabled UserEnabled UserDeleted UserPasswordSet TotpEnrolled TotpConfirmed
        TotpRemoved UserUnlocked LoginFailed UserLoggedIn MachineCreated MachineDeleted SecretIdIssued SecretIdRevoked SecretIdUsed
        Wrapped Unwrapped WrappedEnded CertRolePut CertRoleDeleted IssuerPut IssuerDeleted CertificateLoggedIn JwtLoggedIn
        UserGrantsSet MachineGrantsSet SecretWrapped)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_every_event_of_identities_never_drift() {
    let seen: BTreeSet<_> = events().iter().map(name).collect();
    assert_eq!(seen.len(), 30, "every variant has an example");
    let line = |(at, event): (usize, &IdentityEvent)| {
        let bytes = codec::encode(Kind::Event, &Event::Identity(event.clone()));
        assert_eq!(codec::decode::<Event>(Kind::Event, &bytes).unwrap(), Event::Identity(event.clone()));
        (format!("{at} {}", name(event)), hex(&bytes))
    };
    assert_golden("identity_events", &events().iter().enumerate().map(line).collect::<Vec<_>>());
}

#[test]
fn the_bytes_of_every_piece_of_identities_never_drift() {
    let pieces = [
        ("User", IdentityPiece::User(Arc::new(user()))),
        ("Machine", IdentityPiece::Machine(Arc::new(machine()))),
        ("SecretId", IdentityPiece::SecretId(Arc::new(secret_id()))),
        ("Wrapped", IdentityPiece::Wrapped(Arc::new(wrapped()))),
        ("CertRole", IdentityPiece::CertRole(Arc::new(cert_role()))),
        ("Issuer", IdentityPiece::Issuer(Arc::new(issuer(IssuerKeys::Url("https://issuer/keys".into()))))),
        ("WrappedOf", IdentityPiece::WrappedOf(Arc::new(wrapped_of()))),
    ];
    let lines = pieces.iter().map(|(name, piece)| ((*name).to_owned(), hex(&codec::encode(Kind::StatePiece, piece))));
    assert_golden("identity_pieces", &lines.collect::<Vec<_>>());
    let mut state = State::empty([7; 16]);
    for (_, piece) in pieces {
        state.take(node_domain::state::Piece::Identity(piece)).unwrap();
    }
    assert_eq!(state.identity().counts(), [1, 1, 1, 1, 6, 1, 1]);
    crate::invariants::encoded_pieces_round_trip_of(&state);
}
