//! Streams: answers that keep coming, and many reads over one connection.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt};
use proto::v1::{self, get_many_result, secrets_client::SecretsClient};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::{
    client::{Client, Opened, Service},
    error::ClientError,
};

/// Answers of one call, as they come. Dropping it ends the call.
pub struct Answers<T> {
    messages: Streaming<T>,
    request_id: Uuid,
    address: String,
}

impl<T> Answers<T> {
    pub(crate) fn new(opened: Opened<Streaming<T>>) -> Answers<T> {
        Answers { messages: opened.answer, request_id: opened.request_id, address: opened.address }
    }

    /// The id under which the journal holds the call.
    #[must_use]
    pub fn request_id(&self) -> Uuid {
        self.request_id
    }
}

impl<T> Stream for Answers<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.messages.poll_next_unpin(context);
        let named = |status: Status| ClientError::from_status(&status, self.request_id, &self.address, 1);
        polled.map(|message| message.map(|message| message.map_err(named)))
    }
}

impl<T> fmt::Debug for Answers<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answers").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// Many reads over one stream, answered as they commit. When the stream breaks, every read that waits fails with
/// `UNAVAILABLE`, and so does every later one: open another.
pub struct ReadStream {
    requests: mpsc::Sender<v1::GetStreamRequest>,
    waiting: Arc<Waiting>,
    permits: Semaphore,
    reader: JoinHandle<()>,
    timeout: Duration,
    request_id: Uuid,
    address: String,
}

type Answered = Result<v1::GetResponse, Status>;

/// Reads that wait for their answer.
struct Waiting(Mutex<State>);

struct State {
    next_id: u64,
    reads: HashMap<u64, oneshot::Sender<Answered>>,
    /// Why the stream has ended, once it has.
    ended: Option<Status>,
}

impl ReadStream {
    pub(crate) async fn open(
        client: &Client,
        window: usize,
        generated: fn(Service) -> SecretsClient<Service>,
    ) -> Result<ReadStream, ClientError> {
        let window = window.max(1);
        // Each attempt has its own outbound half; the sender that stays belongs to the attempt that succeeded.
        let sender = Mutex::new(None);
        let message = || {
            let (requests, outbound) = mpsc::channel(window);
            *sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(requests);
            ReceiverStream::new(outbound)
        };
        let send = |service, request| async move { generated(service).get_stream(request).await };
        let opened = client.open(message, send).await?;
        let requests = sender.into_inner().unwrap_or_else(PoisonError::into_inner);
        let waiting = Arc::new(Waiting::new());
        let reader = tokio::spawn(deliver(opened.answer, Arc::clone(&waiting)));
        Ok(ReadStream {
            requests: requests.expect("an attempt that succeeded has made its message"),
            waiting,
            permits: Semaphore::new(window),
            reader,
            timeout: client.timeout(),
            request_id: opened.request_id,
            address: opened.address,
        })
    }

    /// Reads one secret; waits for its turn when the window is full.
    ///
    /// # Errors
    /// When the cluster refuses this read, or the stream has ended.
    pub async fn read(&self, request: v1::GetRequest) -> Result<v1::GetResponse, ClientError> {
        let answered = tokio::time::timeout(self.timeout, self.answer_to(request)).await;
        let answered =
            answered.unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no answer within {:?}", self.timeout))));
        answered.map_err(|status| ClientError::from_status(&status, self.request_id, &self.address, 1))
    }

    async fn answer_to(&self, request: v1::GetRequest) -> Answered {
        let _permit = self.permits.acquire().await.map_err(|_| broken())?;
        let (id, answer) = self.waiting.register()?;
        let _forget = Forget { waiting: &self.waiting, id };
        let sent = self.requests.send(v1::GetStreamRequest { id, get: Some(request) }).await;
        sent.map_err(|_| broken())?;
        answer.await.map_err(|_| broken())?
    }
}

impl Drop for ReadStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl fmt::Debug for ReadStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadStream").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A read that is no longer awaited leaves nothing behind.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.state().reads.remove(&self.id);
    }
}

impl Waiting {
    fn new() -> Waiting {
        Waiting(Mutex::new(State { next_id: 1, reads: HashMap::new(), ended: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> Result<(u64, oneshot::Receiver<Answered>), Status> {
        let mut state = self.state();
        if let Some(status) = &state.ended {
            return Err(status.clone());
        }
        let id = state.next_id;
        state.next_id += 1;
        let (answer, answered) = oneshot::channel();
        state.reads.insert(id, answer);
        Ok((id, answered))
    }

    fn answer(&self, message: v1::GetStreamResponse) {
        let read = self.state().reads.remove(&message.id);
        if let Some(read) = read {
            // Nobody waits any more when the read was given up.
            let _ = read.send(outcome(message.result));
        }
    }

    fn end(&self, status: &Status) {
        let mut state = self.state();
        state.ended = Some(status.clone());
        for (_, read) in state.reads.drain() {
            let _ = read.send(Err(status.clone()));
        }
    }
}

async fn deliver(mut messages: Streaming<v1::GetStreamResponse>, waiting: Arc<Waiting>) {
    let end = loop {
        match messages.next().await {
            Some(Ok(message)) => waiting.answer(message),
            Some(Err(status)) => break status,
            None => break broken(),
        }
    };
    waiting.end(&end);
}

fn outcome(result: Option<v1::GetManyResult>) -> Answered {
    match result.and_then(|result| result.result) {
        Some(get_many_result::Result::Found(found)) => Ok(found),
        Some(get_many_result::Result::Refused(refusal)) => Err(Status::new(Code::from(refusal.code), refusal.message)),
        None => Err(Status::internal("the node answered a read with nothing")),
    }
}

fn broken() -> Status {
    Status::unavailable("the stream of reads has ended")
}
