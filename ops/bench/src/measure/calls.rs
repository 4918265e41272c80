//! Calls with one answer: each worker has one under way, and makes the next when it is answered.

use std::time::Instant;

use proto_client::v1;
use tonic::Status;

use super::{Window, tally::Tally};
use crate::{
    plan::{MANY, Work},
    stage::{Connection, Dice, VALUE_BYTES, read_path, value, write_path},
};

/// What each worker of a slot does.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) environment: String,
    pub(crate) window: Window,
}

/// When a call was made, and how many operations it brought or why it failed.
type Outcome = (Instant, Result<u64, String>);

impl Job {
    /// Calls over `route`'s connections in turn until the slot is over.
    pub(crate) async fn run(self, mut route: Vec<(usize, Connection)>, nodes: usize, worker: u64) -> Tally {
        let mut tally = Tally::of(nodes);
        let mut dice = Dice::new(worker << 32);
        let count = route.len();
        for turn in 0.. {
            if self.window.is_over(Instant::now()) || tally.is_hopeless() {
                break;
            }
            let (node, connection) = &mut route[turn % count];
            let (asked, outcome) = self.call(connection, &mut dice).await;
            let answered = Instant::now();
            match outcome {
                Ok(operations) if self.window.holds(answered) => tally.answered(*node, answered - asked, operations),
                Ok(_) => {}
                Err(why) => tally.failed(&why),
            }
        }
        tally
    }

    async fn call(&self, connection: &mut Connection, dice: &mut Dice) -> Outcome {
        match self.work {
            Work::Writes => self.put(connection, dice).await,
            Work::Many => self.get_many(connection, dice).await,
            // The echo answers the same call. The disk and streams have workers of their own.
            Work::Echo | Work::Reads | Work::Disk | Work::Stream => self.get(connection, dice).await,
        }
    }

    async fn get(&self, connection: &mut Connection, dice: &mut Dice) -> Outcome {
        let request = v1::GetRequest { environment: self.environment.clone(), path: read_path(dice.secret()), version: 0 };
        let asked = Instant::now();
        let answer = connection.get(request).await;
        (asked, answer.map_err(|status| described(&status)).and_then(|answer| check(answer.get_ref()).map(|()| 1)))
    }

    async fn put(&self, connection: &mut Connection, dice: &mut Dice) -> Outcome {
        let request = v1::PutRequest {
            environment: self.environment.clone(),
            path: write_path(dice.secret()),
            value: Some(value(dice)),
            ..v1::PutRequest::default()
        };
        let asked = Instant::now();
        let answer = connection.put(request).await;
        (asked, answer.map(|_| 1).map_err(|status| described(&status)))
    }

    async fn get_many(&self, connection: &mut Connection, dice: &mut Dice) -> Outcome {
        let item = |_| v1::GetManyItem { path: read_path(dice.secret()), version: 0 };
        let request = v1::GetManyRequest { environment: self.environment.clone(), items: (0..MANY).map(item).collect() };
        let asked = Instant::now();
        let answer = connection.get_many(request).await;
        let all_found = |answer: tonic::Response<v1::GetManyResponse>| {
            let results = answer.into_inner().results;
            results.iter().try_for_each(check_result).map(|()| results.len() as u64)
        };
        (asked, answer.map_err(|status| described(&status)).and_then(all_found))
    }
}

/// One result among many: the value is there.
pub(crate) fn check_result(result: &v1::GetManyResult) -> Result<(), String> {
    match &result.result {
        Some(v1::get_many_result::Result::Found(found)) => check(found),
        Some(v1::get_many_result::Result::Refused(refusal)) => Err(refusal.message.clone()),
        None => Err("a node answered a read with nothing".into()),
    }
}

/// The value is there, and as long as it was written.
fn check(answer: &v1::GetResponse) -> Result<(), String> {
    match answer.value.as_ref().and_then(|value| value.kind.as_ref()) {
        Some(v1::value::Kind::Bytes(bytes)) if bytes.len() == VALUE_BYTES => Ok(()),
        _ => Err(format!("a node answered with something other than {VALUE_BYTES} bytes")),
    }
}

/// A status with what lies below it: tonic's own text may say only "transport error".
pub(crate) fn described(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
