//! `holdfast cluster health`.

use std::{
    io::{self, Write},
    time::Duration,
};

use proto_client::{Client, v1};
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Exit, Failure},
    output::table,
    settings::Session,
};

/// How long a node may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// What one node says, or why it says nothing.
type Said = (String, Result<v1::HealthResponse, Failure>);

/// Asks every node of the settings how it is. Fails when one does not answer requests, or something on it fails.
pub(super) async fn run(session: &Session) -> Result<(), Failure> {
    let nodes = session.client().await?.each_node();
    let said = futures::future::join_all(nodes.iter().map(ask)).await;
    let documents: Vec<Value> = said.iter().map(document).collect();
    session.out.show(&json!({ "nodes": documents }), |out| people(out, &said))?;
    let unwell =
        said.iter().filter(|(_, said)| !said.as_ref().is_ok_and(|health| health.ready && health.status != "fail")).count();
    if unwell == 0 {
        return Ok(());
    }
    let why = format!("{unwell} of {} nodes do not answer requests, or something on them fails", said.len());
    Err(Failure::new(Exit::Unavailable, "not every node is well", why)
        .next("see what each node says; holdfast operator status for a sealed one"))
}

async fn ask((address, client): &(String, Client)) -> Said {
    let answer = client.with_timeout(PATIENCE).cluster().health(v1::HealthRequest {}).await;
    (address.clone(), answer.doing(|| format!("ask {address} how it is")))
}

fn people(out: &mut dyn Write, said: &[Said]) -> io::Result<()> {
    let row = |(address, said): &Said| match said {
        Ok(health) => {
            let ready = if health.ready { "yes" } else { "no" };
            let (role, zone) = (health.role.clone(), health.zone.clone());
            [health.node_id.to_string(), role, zone, health.status.clone(), ready.to_owned(), address.clone(), troubles(health)]
        }
        Err(failure) => {
            let none = String::new;
            [none(), none(), none(), "unknown".to_owned(), "no".to_owned(), address.clone(), failure.why().to_owned()]
        }
    };
    table::rows(out, &["NODE", "ROLE", "ZONE", "STATUS", "READY", "ADDRESS", "WHAT"], said.iter().map(row))
}

/// What does not pass.
fn troubles(health: &v1::HealthResponse) -> String {
    let troubled = health.indicators.iter().filter(|indicator| indicator.status != "pass");
    troubled.map(|indicator| format!("{}: {}", indicator.name, indicator.says)).collect::<Vec<_>>().join("; ")
}

fn document((address, said): &Said) -> Value {
    let health = match said {
        Ok(health) => health,
        Err(failure) => return json!({ "address": address, "status": "unknown", "ready": false, "why": failure.why() }),
    };
    let indicator = |indicator: &v1::Indicator| {
        json!({
            "name": indicator.name,
            "status": indicator.status,
            "says": indicator.says,
            "value": indicator.value,
            "unit": indicator.unit,
        })
    };
    json!({
        "address": address,
        "node_id": health.node_id,
        "zone": health.zone,
        "role": health.role,
        "status": health.status,
        "ready": health.ready,
        "version": health.version,
        "indicators": health.indicators.iter().map(indicator).collect::<Vec<_>>(),
    })
}
