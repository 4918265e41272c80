//! Reads over one stream: a window of them is always under way, and each answer makes room for the next.

use std::time::Instant;

use proto_client::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Window,
    calls::{check_result, described},
    tally::Tally,
};
use crate::{
    plan::STREAM_WINDOW,
    stage::{Connection, Dice, read_path},
};

/// Reads over the first connection of `route` until the slot is over.
pub(crate) async fn read(
    route: Vec<(usize, Connection)>,
    nodes: usize,
    environment: String,
    window: Window,
    worker: u64,
) -> Tally {
    let mut tally = Tally::of(nodes);
    let Some((node, connection)) = route.into_iter().next() else {
        tally.failed("a stream has no node");
        return tally;
    };
    let reads = Reads { environment, dice: Dice::new(worker << 32), asked: [Instant::now(); STREAM_WINDOW] };
    if let Err(why) = converse(connection, node, reads, window, &mut tally).await {
        tally.failed(&why);
    }
    tally
}

/// The reads under way: the id of each is its place.
struct Reads {
    environment: String,
    dice: Dice,
    asked: [Instant; STREAM_WINDOW],
}

impl Reads {
    fn next(&mut self, place: usize) -> v1::GetStreamRequest {
        let get = v1::GetRequest { environment: self.environment.clone(), path: read_path(self.dice.secret()), version: 0 };
        self.asked[place] = Instant::now();
        v1::GetStreamRequest { id: place as u64, get: Some(get) }
    }
}

async fn converse(
    mut connection: Connection,
    node: usize,
    mut reads: Reads,
    window: Window,
    tally: &mut Tally,
) -> Result<(), String> {
    let (requests, outbound) = mpsc::channel(STREAM_WINDOW);
    for place in 0..STREAM_WINDOW {
        requests.try_send(reads.next(place)).map_err(|error| error.to_string())?;
    }
    let opened = connection.get_stream(ReceiverStream::new(outbound)).await;
    let mut answers = opened.map_err(|status| described(&status))?.into_inner();
    let mut under_way = STREAM_WINDOW;
    while under_way > 0 {
        let answer = answers.message().await.map_err(|status| described(&status))?;
        let answer = answer.ok_or("the stream ended before all was answered")?;
        let answered = Instant::now();
        let place = usize::try_from(answer.id).ok().filter(|place| *place < STREAM_WINDOW).ok_or("an answer to nothing")?;
        match answer.result.as_ref().ok_or_else(|| "an answer without a result".to_owned()).and_then(check_result) {
            Ok(()) if window.holds(answered) => tally.answered(node, answered - reads.asked[place], 1),
            Ok(()) => {}
            Err(why) => tally.failed(&why),
        }
        if window.is_over(answered) || tally.is_hopeless() {
            under_way -= 1;
        } else {
            // As many as were answered are asked: there is always room.
            requests.try_send(reads.next(place)).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
