//! What a request leaves behind that was refused, or that had a password in it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_handed_over_is_not_made() {
    let world = world(&[]).await;
    let [a, b, _] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let tokens = async || a.tokens().list(v1::ListTokensRequest::default()).await.unwrap().tokens.len();
    let create = v1::CreateMachineRequest { name: "ci".into(), grants: grants(), ..Default::default() };
    a.machines().create(create).await.unwrap();
    let before = tokens().await;

    let month_ms = 30 * 24 * 3_600_000;
    let token = v1::CreateTokenRequest {
        principal: "eve".into(),
        policies: vec!["developer".into()],
        wrap_ttl_ms: month_ms,
        ..Default::default()
    };
    let refused = b.tokens().create(token.clone()).await.unwrap_err();
    assert!(refused.message.contains("a wrapping waits 1 to 604800000 ms"), "{}", refused.message);
    assert_eq!(tokens().await, before, "a token that nobody was told lives on");
    let issue = v1::IssueSecretIdRequest { name: "ci".into(), wrap_ttl_ms: month_ms, ..Default::default() };
    assert_eq!(code(b.machines().issue_secret_id(issue.clone()).await), Code::InvalidArgument);
    let ids = v1::MachineRequest { name: "ci".into() };
    assert!(a.machines().list_secret_ids(ids.clone()).await.unwrap().secret_ids.is_empty());

    // With a time that can be, both are made: they were refused for their time.
    b.tokens().create(v1::CreateTokenRequest { wrap_ttl_ms: 60_000, ..token }).await.unwrap();
    b.machines().issue_secret_id(v1::IssueSecretIdRequest { wrap_ttl_ms: 60_000, ..issue }).await.unwrap();
    assert_eq!(tokens().await, before + 1);
    assert_eq!(a.machines().list_secret_ids(ids).await.unwrap().secret_ids.len(), 1);
}

/// A request id tells whether two requests are the same by a fast hash that the log keeps: were a password in it, whoever has the
/// log could try passwords by that hash. That it is not shows in that two which differ in the password alone count as one.
#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_in_what_the_log_keeps_to_know_a_request_again() {
    let world = world(&[]).await;
    let [a, b, c] = [&world.clients[0], &world.clients[1], &world.clients[2]];
    let create = |name: &str, password: &str| v1::CreateUserRequest {
        name: name.into(),
        password: password.into(),
        grants: grants(),
        requires_totp: false,
    };
    let same = |client: &Client, id: u128| client.with_request_id(uuid::Uuid::from_u128(id));
    same(a, 1).users().create(create("ana", PASSWORD)).await.unwrap();
    same(b, 1).users().create(create("ana", "another horse battery")).await.unwrap();
    assert!(same(b, 1).users().create(create("bob", PASSWORD)).await.is_err(), "what else it says is in it");
    c.login().password(password("ana", PASSWORD, "")).await.unwrap();
    assert_eq!(code(c.login().password(password("ana", "another horse battery", "")).await), Code::Unauthenticated);

    let set = |password: &str| v1::SetPasswordRequest { name: "ana".into(), password: password.into(), ..Default::default() };
    same(a, 2).users().set_password(set("the second horse battery")).await.unwrap();
    same(b, 2).users().set_password(set("the third horse battery")).await.unwrap();
    c.login().password(password("ana", "the second horse battery", "")).await.unwrap();
}
