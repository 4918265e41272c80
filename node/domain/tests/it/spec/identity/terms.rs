//! Tokens: how long, how often, from where, and what ends with what.

use super::*;
use node_domain::command::TokenWish;
use node_domain::{Ask, Event};

fn wish(who: &'static str, change: impl FnOnce(&mut TokenWish) + 'static) -> Request {
    Box::new(move |world| {
        let hash = world.draw_hash();
        let mut wish = TokenWish::plain(hash, principal(who), vec![policy("root")], 0);
        change(&mut wish);
        world.hold(who, hash);
        Command::CreateToken(Box::new(wish))
    })
}

fn renew_own(increment_ms: u64) -> Request {
    asks(IdentityCommand::RenewToken { accessor: None, increment_ms })
}

fn from(world: World, who: &str, address: Option<&str>, command: Command) -> Asked {
    let mut world = world;
    world.now = Stamp(world.now.0 + 1000);
    let ask = Ask {
        credential: Some(world.credential(who)),
        request: u128::from(world.draw()).to_be_bytes(),
        fingerprint: 0,
        source: "1/somewhere".into(),
        address: address.map(|text| text.parse().unwrap()),
    };
    world.decide(ask, command)
}

#[test]
fn a_renewal_counts_from_now_and_never_beyond_the_latest_end() {
    let world = given([]).when("root", wish("ana", |wish| (wish.renewal_ms, wish.ttl_ms_max) = (60_000, 150_000))).then_is_done();
    let made = world.state.token_by_accessor(&world.accessor("ana")).unwrap().created;
    assert_eq!(world.end_of_token("ana"), Some(made.plus_ms(60_000)));
    let asked = world.and(later_ms(30_000)).when("ana", renew_own(0)).recording(["token.renew - ana done"]).by("ana");
    assert_eq!(asked.world.end_of_token("ana"), Some(asked.decision.stamp.plus_ms(60_000)));
    let asked = asked.and(later_ms(50_000)).when("ana", renew_own(10_000));
    assert_eq!(asked.world.end_of_token("ana"), Some(asked.decision.stamp.plus_ms(10_000)), "as long as was asked");
    let world = asked.when("ana", renew_own(999_999)).then_is_done().and(later_ms(50_000));
    let world = world.when("ana", renew_own(0)).then_is_done();
    assert_eq!(world.end_of_token("ana"), Some(made.plus_ms(150_000)), "the latest end");
    world.and(later_ms(30_000)).when("ana", renew_own(0)).then_is_not_authenticated();
}

#[test]
fn a_token_without_a_latest_end_is_renewed_for_ever() {
    let mut world = given([]).when("root", wish("ana", |wish| wish.renewal_ms = 60_000)).then_is_done();
    for _ in 0..50 {
        world = world.and(later_ms(59_000)).when("ana", renew_own(0)).then_is_done();
    }
    world.and(later_ms(60_001)).when("ana", lookup_self()).then_is_not_authenticated();
}

#[test]
fn what_cannot_be_renewed_says_so_and_others_may_renew_with_the_capability() {
    let world = given([granted("bob", "read", "*")]).when("root", wish("ana", |wish| wish.ttl_ms = 60_000)).then_is_done();
    let accessor = world.accessor("ana");
    let asked = world.when("ana", renew_own(0)).then_refuses(&format!("token {accessor} cannot be renewed: make a new one"));
    let world = asked.when("root", wish("ana", |wish| wish.renewal_ms = 60_000)).then_is_done();
    let accessor = Some(world.accessor("ana"));
    let of_ana = || asks(IdentityCommand::RenewToken { accessor, increment_ms: 0 });
    let asked = world.when("bob", of_ana());
    assert!(asked.rejection().is_denial());
    asked.when("root", of_ana()).recording(["token.renew - ana done"]).by("root");
}

#[test]
fn a_child_is_never_renewed_beyond_its_parent() {
    let world = given([]).when("root", wish("ana", |wish| wish.ttl_ms = 60_000)).then_is_done();
    let world = world.when("ana", wish("bob", |wish| wish.renewal_ms = 50_000)).then_is_done();
    let world = world.and(later_ms(40_000)).when("bob", renew_own(0)).then_is_done();
    assert_eq!(world.end_of_token("bob"), world.end_of_token("ana"));
}

#[test]
fn each_request_is_a_use_refusals_included_and_the_last_one_ends_the_token() {
    given([added("a", 1)])
        .when("root", wish("ana", |wish| wish.uses_max = 3))
        .when("ana", read("a"))
        .then_reads(["a v1"])
        .recording(["secret.read production a v1 done", "token.use - ana done"])
        .when("ana", read("nothing"))
        .recording(["secret.read production nothing refused", "token.use - ana done"])
        .when("ana", read("a"))
        .recording(["secret.read production a v1 done", "token.use - ana done"])
        .when("ana", read("a"))
        .then_is_not_authenticated();
}

#[test]
fn a_token_whose_uses_are_counted_makes_no_others_and_may_revoke_itself() {
    given([])
        .when("root", wish("ana", |wish| wish.uses_max = 3))
        .when("ana", create_token("bob", &["root"]))
        .then_refuses("a token whose uses are counted makes no others: use one that is not")
        .when("ana", revoke("ana"))
        .recording(["token.revoke - ana done", "token.use - ana done"])
        .when("ana", lookup_self())
        .then_is_not_authenticated();
}

#[test]
fn a_token_bound_to_networks_counts_from_there_alone_and_its_theft_names_it() {
    let bound = wish("ana", |wish| wish.networks = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    let mut world = given([]).when("root", bound).then_is_done();
    let accessor = world.accessor("ana");
    for good in ["10.1.2.3", "fd00::1"] {
        world = from(world, "ana", Some(good), Command::LookupSelf).by("ana").then_is_done();
    }
    for bad in [Some("11.1.2.3"), Some("::1"), None] {
        let asked = from(world, "ana", bad, Command::LookupSelf).then_is_not_authenticated();
        assert_eq!(asked.decision.accessor, Some(accessor), "the record names the token");
        world = asked.world;
    }
}

#[test]
fn a_token_made_by_a_bound_one_is_bound_as_narrowly() {
    let bound = wish("ana", |wish| wish.networks = vec!["10.0.0.0/8".parse().unwrap()]);
    let world = given([]).when("root", bound).then_is_done();
    let plain = |hash| TokenWish::plain(hash, principal("bob"), vec![policy("root")], 0);
    let wider = TokenWish { networks: vec!["0.0.0.0/0".parse().unwrap()], ..plain([1; 32]) };
    let ask = |world, wish| from(world, "ana", Some("10.0.0.1"), Command::CreateToken(Box::new(wish)));
    let asked = ask(world, wider).then_refuses("0.0.0.0/0 is not within the networks of the token that asks");
    let world = ask(asked.world, plain([3; 32])).then_is_done();
    let made = world.state.token_by_accessor(&Accessor::of(&[3; 32])).unwrap();
    assert_eq!(made.terms.networks, ["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn a_token_bound_to_networks_makes_no_login_from_elsewhere() {
    let bound = wish("ana", |wish| wish.networks = vec!["10.0.0.0/8".parse().unwrap()]);
    let world = given([]).when("root", bound).then_is_done();
    let ask = |networks: &[&str]| {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        let (password, grants) = (hashed(1), Grants { networks, ..gives(&["root"]) });
        let wish = UserWish { name: called("zed"), password, grants, requires_totp: false };
        let world = world.clone();
        from(world, "ana", Some("10.1.2.3"), Command::Identity(Box::new(IdentityCommand::CreateUser(wish))))
    };
    ask(&[]).then_refuses("name networks within those of the token that asks: a login from anywhere is more than it has");
    ask(&["11.0.0.0/8"]).then_refuses("11.0.0.0/8 is not within the networks of the token that asks");
    ask(&["10.1.0.0/16"]).then_is_done();
}

#[test]
fn a_token_bound_to_environments_makes_no_others() {
    let bound = wish("ana", |wish| wish.environments = vec![environment("staging")]);
    given([])
        .when("root", bound)
        .when("ana", create_token("bob", &["root"]))
        .then_denies("ana may not tokens bob in the system: the token counts in staging only");
}

#[test]
fn what_a_token_made_ends_with_it_down_to_the_last() {
    let world = given([])
        .when("root", wish("ana", |_| ()))
        .when("ana", wish("bob", |_| ()))
        .when("bob", wish("carol", |_| ()))
        .when("ana", wish("dora", |_| ()))
        .when("root", wish("else", |_| ()))
        .then_is_done();
    let world = world.when("root", revoke("bob")).recording(["token.revoke - bob done"]).then_is_done();
    let world = world.when("carol", lookup_self()).then_is_not_authenticated().world;
    let world = world.when("dora", lookup_self()).by("dora").then_is_done();
    let world = world.when("root", revoke("ana")).then_is_done();
    let world = world.when("dora", lookup_self()).then_is_not_authenticated().world;
    world.when("else", lookup_self()).by("else");
}

#[test]
fn a_parent_that_ends_by_its_stamp_takes_its_children_with_it() {
    let world = given([]).when("root", wish("ana", |wish| wish.ttl_ms = 60_000)).when("ana", wish("bob", |_| ())).then_is_done();
    let world = world.and(later_ms(60_000)).when("bob", lookup_self()).then_is_not_authenticated().world;
    // Swept together, by the record of the one that made the other.
    let world =
        world.when("root", create_token("new", &["root"])).recording(["token.revoke - ana done", "token.create - new done"]);
    assert_eq!(world.world.state.tokens().count(), 2);
}

#[test]
fn only_a_holder_of_root_makes_a_token_that_outlives_its_own() {
    given([granted("eve", "tokens", "*")])
        .when("root", wish("ana", |wish| wish.ttl_ms = 60_000))
        .when("ana", wish("bob", |wish| wish.orphan = true))
        .when("root", revoke("ana"))
        .when("bob", lookup_self())
        .by("bob")
        .when(
            "eve",
            Box::new(|_| {
                let wish = TokenWish::plain([9; 32], principal("x"), vec![policy("of-eve")], 0);
                Command::CreateToken(Box::new(TokenWish { orphan: true, ..wish }))
            }),
        )
        .then_denies("eve may not orphan x in the system: only a holder of the policy root makes a token that outlives its own");
}

#[test]
fn tokens_make_tokens_eight_deep_and_no_deeper() {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut world = given([]);
    let mut maker = "root";
    for name in &NAMES[..limits::TOKEN_DEPTH_MAX - 1] {
        world = world.when(maker, wish(name, |_| ())).then_is_done();
        maker = name;
    }
    world.when(maker, wish("h", |_| ())).then_refuses("tokens make tokens 8 deep at most: use one nearer to the first");
}

#[test]
fn a_lookup_by_accessor_needs_the_capability_and_tells_nothing_without() {
    let world = given([granted("ana", "read", "*"), granted("bob", "read", "*")]);
    let accessor = world.accessor("bob");
    let lookup = |accessor| asks(IdentityCommand::LookupToken { accessor });
    let asked = world.when("ana", lookup(accessor));
    let words = asked.rejection().to_string().replace(&accessor.to_string(), "X");
    let asked = asked.when("ana", lookup(Accessor([3; 12])));
    assert_eq!(asked.rejection().to_string().replace(&Accessor([3; 12]).to_string(), "X"), words);
    let asked = asked.when("bob", lookup(accessor)).by("bob");
    let asked = asked.when("root", lookup(accessor)).recording([&format!("token.lookup - {accessor} done")]);
    asked.when("root", lookup(Accessor([3; 12]))).then_refuses("token 030303030303030303030303 does not exist");
}

#[test]
fn a_use_that_is_counted_makes_no_receipt() {
    let world = given([added("a", 1)]).when("root", wish("ana", |wish| wish.uses_max = 9)).then_is_done();
    let asked = world.when_under((7, 7), "ana", read("a")).then_reads(["a v1"]);
    let asked = asked.when_under((7, 7), "ana", read("a")).then_reads(["a v1"]);
    assert!(!asked.decision.events.iter().any(|event| matches!(event, Event::AnsweredAgain { .. })));
}

#[test]
fn what_a_node_asks_for_its_own_sake_and_wrapping_an_answer_are_no_uses() {
    let world = given([granted("ana", "read", "*"), added("a", 1)]);
    let mut world = world.when("root", wish("ana", |wish| wish.uses_max = 2)).then_is_done();
    let left = |world: &World| world.state.token(&world.credential("ana")).unwrap().terms.uses_left;
    for _ in 0..3 {
        world = world.when("ana", Box::new(|_| Command::CatchUp)).then_is_done();
    }
    assert_eq!(left(&world), Some(2));
    let wrap = |number: u8| -> Request {
        let payload = b"<<ciphertext>> of a value".to_vec().into();
        let about = "secret production:a".into();
        asks(IdentityCommand::Wrap(WrapWish { hash: [number; 32], payload, about, ttl_ms: 60_000, of: None }))
    };
    let world = world.when("ana", read("a")).when("ana", wrap(1)).then_is_done();
    assert_eq!(left(&world), Some(1));
    // What the caller brings is no answer.
    let given = |number: u8| -> Request {
        let payload = b"<<ciphertext>> of a note".to_vec().into();
        let about = "bytes: a note".into();
        asks(IdentityCommand::WrapGiven(WrapWish { hash: [number; 32], payload, about, ttl_ms: 60_000, of: None }))
    };
    let spent = world.clone().when("ana", given(7)).then_is_done();
    assert_eq!(left(&spent), Some(0));
    spent.when("ana", given(8)).then_is_not_authenticated();
    // The last use, and its answer is wrapped still; nothing else is done by the token any more, nor that for long.
    let world = world.when("ana", read("a")).when("ana", wrap(2)).then_is_done();
    assert_eq!(left(&world), Some(0));
    world
        .when("ana", Box::new(|_| Command::CatchUp))
        .then_is_not_authenticated()
        .and(later_ms(limits::ANSWER_MS_MAX))
        .when("ana", wrap(3))
        .then_is_not_authenticated();
}
