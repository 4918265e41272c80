//! Who asks, and for what: a caller with one policy (a root token would skip it), and secrets of 1 KiB.

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use proto_client::{Client, ClientConfig, ClientError, Token, v1};

use crate::{fault::Fault, plan::RULES};

/// Secrets that are read, and as many that are written.
pub(crate) const SECRETS: u64 = 1000;
/// Bytes of a value; they are random, so that nothing compresses them.
pub(crate) const VALUE_BYTES: usize = 1024;
const NAME: &str = "bench";
/// Secrets put at once while seeding.
const SOWN_AT_ONCE: usize = 64;

/// The path of a secret that is only read.
pub(crate) fn read_path(number: u64) -> String {
    format!("bench/read/{number:04}")
}

/// The path of a secret that is only written.
pub(crate) fn write_path(number: u64) -> String {
    format!("bench/write/{number:04}")
}

/// A value that no other value is equal to, in all likelihood.
pub(crate) fn value(dice: &mut Dice) -> v1::Value {
    let bytes: Vec<u8> = (0..VALUE_BYTES / 8).flat_map(|_| dice.roll().to_le_bytes()).collect();
    v1::Value { kind: Some(v1::value::Kind::Bytes(Bytes::from(bytes))) }
}

/// Chance with a fixed seed (SplitMix64): every run asks for the same.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The number of a secret.
    pub(crate) fn secret(&mut self) -> u64 {
        self.roll() % SECRETS
    }
}

/// Makes a token that may read and write below `bench/` and look at the cluster, and that holds `others` policies of teams besides, and
/// gives the settings that use it.
pub(crate) async fn caller(config: ClientConfig, others: u64) -> Result<ClientConfig, Fault> {
    let client = Client::connect(config.clone()).await.map_err(Fault::cluster("connect to the cluster"))?;
    let rules = vec![rule("bench/*", &["read", "create", "update"]), rule("*", &["cluster"])];
    let mut written = vec![v1::Policy { name: NAME.into(), rules, ..v1::Policy::default() }];
    written.extend((0..others).map(team));
    let policies = written.iter().map(|policy| policy.name.clone()).collect();
    for policy in written {
        client.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.map_err(Fault::cluster("write a policy"))?;
    }
    let wanted = v1::CreateTokenRequest { principal: NAME.into(), policies, ttl_ms: 0, ..Default::default() };
    let made = client.tokens().create(wanted).await.map_err(Fault::cluster("make a token"))?;
    let token = Token::parse(made.token).map_err(Fault::cluster("take the new token"))?;
    Ok(ClientConfig { token: Some(token), ..config })
}

fn rule(path: &str, capabilities: &[&str]) -> v1::Rule {
    let capabilities = capabilities.iter().map(|&word| word.to_owned()).collect();
    v1::Rule { environment: "*".into(), path: path.into(), capabilities, deny: false, conditions: None }
}

/// What a team of a real organization may: its services by name, with wildcards inside and at the end, and a few denials.
fn team(number: u64) -> v1::Policy {
    let rules = (0..RULES).map(|at| match at % 5 {
        0 => rule(&format!("team-{number}/service-{at}/*"), &["read", "list"]),
        1 => rule(&format!("team-{number}/+/database-{at}"), &["read", "update"]),
        2 => rule(&format!("team-{number}/service-{at}/password"), &["read", "create", "update"]),
        3 => rule(&format!("bench/team-{number}/{at}/*"), &["read"]),
        _ => v1::Rule { deny: true, ..rule(&format!("team-{number}/+/root-{at}"), &["read"]) },
    });
    v1::Policy { name: format!("team-{number}"), rules: rules.collect(), ..v1::Policy::default() }
}

/// Puts all secrets, through whichever node answers.
pub(crate) async fn sow(config: &ClientConfig, environment: &str) -> Result<(), Fault> {
    let client = Client::connect(config.clone()).await.map_err(Fault::cluster("connect to the cluster"))?;
    let mut dice = Dice::new(0);
    let puts = (0..SECRETS).flat_map(|number| [read_path(number), write_path(number)]).map(|path| {
        let value = Some(value(&mut dice));
        let put = v1::PutRequest { environment: environment.to_owned(), path, value, ..v1::PutRequest::default() };
        let client = client.clone();
        Ok::<_, ClientError>(async move { client.secrets().put(put).await.map(drop) })
    });
    stream::iter(puts)
        .try_buffer_unordered(SOWN_AT_ONCE)
        .try_for_each(|()| futures::future::ready(Ok(())))
        .await
        .map_err(Fault::cluster("put the secrets"))
}

/// Changes in one transaction, and transactions under way at once, when many secrets are put.
const TRANSACTION: u64 = 100;
const TRANSACTIONS_AT_ONCE: usize = 8;

/// The value of a secret by its number: always the same, and it does not compress.
pub(crate) fn numbered_value(number: u64, bytes: usize) -> v1::Value {
    let mut dice = Dice::new(number);
    let noise: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| dice.roll().to_le_bytes()).take(bytes).collect();
    v1::Value { kind: Some(v1::value::Kind::Bytes(Bytes::from(noise))) }
}

/// Puts the secrets 0 to `count`, many in a transaction, through whichever node answers.
pub(crate) async fn sow_many(
    client: &Client,
    environment: &str,
    count: u64,
    value_bytes: usize,
    path: impl Fn(u64) -> String,
) -> Result<(), Fault> {
    let put = |number: u64| {
        let value = Some(numbered_value(number, value_bytes));
        let change = v1::transact_item::Change::Put(v1::TransactPut { value, metadata: None });
        v1::TransactItem { path: path(number), expect: None, change: Some(change) }
    };
    let transactions = (0..count).step_by(TRANSACTION as usize).map(|first| {
        let items = (first..count.min(first + TRANSACTION)).map(put).collect();
        let request = v1::TransactRequest { environment: environment.to_owned(), items };
        let client = client.clone();
        Ok::<_, ClientError>(async move { client.secrets().transact(request).await.map(drop) })
    });
    stream::iter(transactions)
        .try_buffer_unordered(TRANSACTIONS_AT_ONCE)
        .try_for_each(|()| futures::future::ready(Ok(())))
        .await
        .map_err(Fault::cluster("put the secrets"))
}
