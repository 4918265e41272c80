//! `holdfast policy simulate`: what a policy would have made of past requests.

use clap::Args;
use proto_client::v1;
use serde_json::{Value, json};

use super::{proposed, rules_of};
use crate::{
    exit::{Doing, Failure},
    output::table,
    settings::Session,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast policy simulate developer developer.yaml
  holdfast policy simulate developer - --last 10000 -o json

The newest records of the journal are judged under the rules in force and under the proposed ones, with the token, address and time that
each was made with. Records whose token lives no more cannot be judged, and are counted. It needs `policies` and `audit`.";

/// The policy as it would be.
#[derive(Args)]
pub(crate) struct Simulate {
    /// Its name; there may be none yet.
    name: String,
    /// Its rules as YAML or JSON, as `policy put` takes them; - for standard input.
    file: String,
    /// How many of the newest records are replayed.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    last: u32,
}

impl Simulate {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let policy = proposed(self.name.clone(), rules_of(&self.file)?)?;
        let request = v1::SimulatePolicyRequest { policy: Some(policy), last: self.last };
        let answer = session.client().await?.policies().simulate(request).await;
        let answer = answer.doing(|| format!("simulate the policy {}", self.name))?;
        session.out.show(&document(&answer), |out| {
            writeln!(out, "{}", summary(&answer))?;
            if !answer.changes.is_empty() {
                let titles = ["WOULD BE", "COUNT", "ACTOR", "OPERATION", "ENVIRONMENT", "SUBJECT", "LAST RECORD"];
                table::rows(out, &titles, answer.changes.iter().map(row))?;
            }
            caveats(&answer).iter().try_for_each(|caveat| writeln!(out, "{caveat}"))
        })
    }
}

fn summary(answer: &v1::SimulatePolicyResponse) -> String {
    let v1::SimulatePolicyResponse { from_seq, to_seq, same, denied, allowed, .. } = answer;
    format!("records {from_seq} to {to_seq}: {denied} would be denied, {allowed} would be allowed, {same} stay as they are")
}

/// What the simulation does not know.
fn caveats(answer: &v1::SimulatePolicyResponse) -> Vec<String> {
    let told = [
        (answer.token_gone, "not judged: their token lives no more"),
        (answer.without_token, "not judged: no token that counted was shown"),
        (answer.unknown, "not judged: their record does not tell all that they asked"),
        (answer.need_nothing, "not judged: they need no right"),
        (answer.differ_from_record, "went otherwise than they would today: rules or tokens have changed since"),
        (answer.not_listed, "changes more than are listed"),
    ];
    told.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}

fn row(change: &v1::SimulatedChange) -> [String; 7] {
    [
        verdict(change).to_owned(),
        change.count.to_string(),
        change.actor.clone(),
        change.operation.clone(),
        change.environment.clone(),
        change.subject.clone(),
        change.seq.to_string(),
    ]
}

fn verdict(change: &v1::SimulatedChange) -> &'static str {
    if change.allowed { "allowed" } else { "denied" }
}

fn document(answer: &v1::SimulatePolicyResponse) -> Value {
    let change = |change: &v1::SimulatedChange| {
        json!({
            "would_be": verdict(change),
            "actor": change.actor,
            "operation": change.operation,
            "environment": change.environment,
            "subject": change.subject,
            "count": change.count,
            "seq": change.seq,
        })
    };
    json!({
        "from_seq": answer.from_seq,
        "to_seq": answer.to_seq,
        "changes": answer.changes.iter().map(change).collect::<Vec<_>>(),
        "same": answer.same,
        "denied": answer.denied,
        "allowed": answer.allowed,
        "not_judged": {
            "token_gone": answer.token_gone,
            "without_token": answer.without_token,
            "unknown": answer.unknown,
            "need_nothing": answer.need_nothing,
        },
        "differ_from_record": answer.differ_from_record,
        "not_listed": answer.not_listed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_judged_is_said() {
        let answer = v1::SimulatePolicyResponse { to_seq: 9, denied: 2, token_gone: 3, ..Default::default() };
        assert_eq!(summary(&answer), "records 0 to 9: 2 would be denied, 0 would be allowed, 0 stay as they are");
        assert_eq!(caveats(&answer), ["3 not judged: their token lives no more"]);
    }
}
