//! Commands that a follower took, on their way to the leader: one standing stream, many commands in a message, many in flight.
//!
//! The leader pays about a microsecond for each, whoever took it, so every node can serve reads.

use crate::engine::proposer::{Outcome, ReplyTo, Submission, Undecided};
use futures::{Stream, StreamExt};
use node_domain::{Ask, Command};
use parking_lot::Mutex;
use proto::peer::v1::forward_client::ForwardClient;
use proto::peer::v1::forward_server::{Forward, ForwardServer};
use proto::peer::v1::{CommandBundle, ForwardedCommand, ForwardedOutcome, OutcomeBundle};
use proto_record::codec::{self, Kind};
use raft::transport::grpc::PeerChannels;
use raft::{Leader, Role};
use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Commands in one message.
const BUNDLE_MAX: usize = 256;
/// Bytes of commands in one message, beyond which it goes off.
const BUNDLE_BYTES: usize = 1 << 20;
/// The largest message: one command may carry a whole transaction.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Commands waiting for the stream to one leader.
const QUEUE_MAX: usize = 8192;
/// How long the leader may take to accept a stream.
const CONNECT_TIME: Duration = Duration::from_secs(1);

const _: () = assert!(node_domain::limits::TRANSACTION_BYTES_MAX + BUNDLE_BYTES < MESSAGE_BYTES_MAX);

struct Outgoing {
    command: Vec<u8>,
    reply: oneshot::Sender<Outcome>,
}

/// The sending side: a stream to whoever leads.
pub(crate) struct Forwarder {
    channels: PeerChannels,
    role: watch::Receiver<Role>,
    /// The stream to the node that led last.
    link: Mutex<Option<(u64, u64, mpsc::Sender<Outgoing>)>>,
}

impl Forwarder {
    pub(crate) fn new(channels: PeerChannels, role: watch::Receiver<Role>) -> Forwarder {
        Forwarder { channels, role, link: Mutex::new(None) }
    }

    pub(crate) async fn send(&self, leader: Leader, ask: Ask, command: Command) -> Outcome {
        let Some(link) = self.link_to(&leader) else {
            return Err(Undecided::NotHappened(format!("node {} leads, its address is not known yet", leader.id)));
        };
        let (reply, outcome) = oneshot::channel();
        let outgoing = Outgoing { command: codec::encode(Kind::Command, &(ask, command)), reply };
        let sent = link.send(outgoing).await;
        // Whoever waits for an outcome must not keep the stream to a former leader open.
        drop(link);
        if sent.is_err() {
            return Err(Undecided::NotHappened(format!("the stream to node {} ended", leader.id)));
        }
        outcome.await.unwrap_or_else(|_| Err(Undecided::Unknown(format!("the stream to node {} ended", leader.id))))
    }

    fn link_to(&self, leader: &Leader) -> Option<mpsc::Sender<Outgoing>> {
        let mut link = self.link.lock();
        if let Some((id, term, sender)) = &*link
            && (*id, *term) == (leader.id, leader.term)
            && !sender.is_closed()
        {
            return Some(sender.clone());
        }
        let member = leader.member.as_ref()?;
        let channel = self.channels.shared(leader.id, &member.peer_address);
        let client =
            ForwardClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        // The task ends when the stream does, when another node leads, or when the last sender is gone: with this node.
        let (id, mut role) = (leader.id, self.role.clone());
        let deposed = async move {
            // Replication that ended leads nowhere either.
            let _ = role.wait_for(|role| !follows(role, id)).await;
        };
        tokio::spawn(carry(client, queue, deposed));
        *link = Some((leader.id, leader.term, sender.clone()));
        Some(sender)
    }
}

fn follows(role: &Role, id: u64) -> bool {
    matches!(role, Role::Follower { leader: Some(leader) } | Role::Learner { leader: Some(leader) } if *leader == id)
}

/// Carries commands and outcomes over one stream until it breaks or its leader is `deposed`; then every command under way is unknown.
/// A leader that was stopped or cut off answers nothing and closes nothing: without this its commands would wait for the connection to
/// be found dead, while the next leader could answer them.
async fn carry(
    mut client: ForwardClient<tonic::transport::Channel>,
    mut queue: mpsc::Receiver<Outgoing>,
    deposed: impl Future<Output = ()>,
) {
    let (bundles, outbound) = mpsc::channel(4);
    let mut deposed = std::pin::pin!(deposed);
    let opened = tokio::select! {
        () = &mut deposed => return refuse(queue, "another node leads by now").await,
        opened = tokio::time::timeout(CONNECT_TIME, client.commands(ReceiverStream::new(outbound))) => opened,
    };
    let mut inbound = match opened {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return refuse(queue, status.message()).await,
        Err(_) => return refuse(queue, "the leader does not answer").await,
    };
    let mut pending: HashMap<u64, oneshot::Sender<Outcome>> = HashMap::new();
    let mut next_id = 0;
    loop {
        tokio::select! {
            () = &mut deposed => break,
            answer = inbound.message() => {
                let Ok(Some(bundle)) = answer else { break };
                for ForwardedOutcome { id, outcome } in bundle.outcomes {
                    let outcome = codec::decode(Kind::Outcome, &outcome).unwrap_or_else(|error| Err(Undecided::Unknown(error.to_string())));
                    if let Some(reply) = pending.remove(&id) {
                        let _ = reply.send(outcome);
                    }
                }
            }
            outgoing = queue.recv() => {
                let Some(first) = outgoing else { break };
                let bundle = bundle_up(first, &mut queue, &mut pending, &mut next_id);
                if bundles.send(bundle).await.is_err() {
                    break;
                }
            }
        }
    }
    queue.close();
    // Dropping the pending senders tells those who wait that the outcome is unknown.
    drop(pending);
    refuse(queue, "the stream to the leader ended").await;
}

fn bundle_up(
    first: Outgoing,
    queue: &mut mpsc::Receiver<Outgoing>,
    pending: &mut HashMap<u64, oneshot::Sender<Outcome>>,
    next_id: &mut u64,
) -> CommandBundle {
    let mut commands = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(Outgoing { command, reply }) = next.take() {
        *next_id += 1;
        bytes += command.len();
        pending.insert(*next_id, reply);
        commands.push(ForwardedCommand { id: *next_id, command: command.into() });
        if commands.len() < BUNDLE_MAX && bytes < BUNDLE_BYTES {
            next = queue.try_recv().ok();
        }
    }
    CommandBundle { commands }
}

/// Nothing of what still waits was sent.
async fn refuse(mut queue: mpsc::Receiver<Outgoing>, why: &str) {
    queue.close();
    while let Some(outgoing) = queue.recv().await {
        let _ = outgoing.reply.send(Err(Undecided::NotHappened(why.to_owned())));
    }
}

/// The receiving side, on the port for other nodes.
pub(crate) struct ForwardService {
    desk: mpsc::Sender<Submission>,
}

/// The service that takes forwarded commands to `desk`.
pub(crate) fn forward_service(desk: mpsc::Sender<Submission>) -> ForwardServer<ForwardService> {
    ForwardServer::new(ForwardService { desk })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl Forward for ForwardService {
    type CommandsStream = Pin<Box<dyn Stream<Item = Result<OutcomeBundle, Status>> + Send>>;

    async fn commands(&self, request: Request<Streaming<CommandBundle>>) -> Result<Response<Self::CommandsStream>, Status> {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        tokio::spawn(take_in(request.into_inner(), self.desk.clone(), outcomes));
        Ok(Response::new(Box::pin(gathered(receiver))))
    }
}

async fn take_in(
    mut bundles: Streaming<CommandBundle>,
    desk: mpsc::Sender<Submission>,
    outcomes: mpsc::UnboundedSender<(u64, Outcome)>,
) {
    while let Ok(Some(bundle)) = bundles.message().await {
        for ForwardedCommand { id, command } in bundle.commands {
            match codec::decode::<(Ask, Command)>(Kind::Command, &command) {
                Ok((ask, command)) => {
                    let submission = Submission { ask, command, reply: ReplyTo::Peer(outcomes.clone(), id) };
                    if desk.send(submission).await.is_err() {
                        return;
                    }
                }
                Err(error) => drop(outcomes.send((id, Err(Undecided::NotHappened(error.to_string()))))),
            }
        }
    }
}

/// All outcomes that are ready go in one message, up to its bounds.
fn gathered(outcomes: mpsc::UnboundedReceiver<(u64, Outcome)>) -> impl Stream<Item = Result<OutcomeBundle, Status>> {
    futures::stream::unfold(outcomes, |mut outcomes| async move {
        let mut ready = Vec::new();
        let mut bytes = 0;
        let mut next = outcomes.recv().await;
        while let Some((id, outcome)) = next.take() {
            let outcome = codec::encode(Kind::Outcome, &outcome);
            bytes += outcome.len();
            ready.push(ForwardedOutcome { id, outcome: outcome.into() });
            if ready.len() < BUNDLE_MAX && bytes < BUNDLE_BYTES {
                next = outcomes.try_recv().ok();
            }
        }
        (!ready.is_empty()).then(|| (Ok(OutcomeBundle { outcomes: ready }), outcomes))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_stream_to_a_leader_that_was_deposed_while_it_was_opened() {
        // It takes connections, and says nothing on them: a leader that was cut off.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", silent.local_addr().unwrap());
        let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect_lazy();
        let (sender, queue) = mpsc::channel(1);
        let (deposed, is_deposed) = oneshot::channel::<()>();
        let carrying = tokio::spawn(carry(ForwardClient::new(channel), queue, async { drop(is_deposed.await) }));
        let (reply, outcome) = oneshot::channel();
        sender.send(Outgoing { command: Vec::new(), reply }).await.unwrap();
        drop(sender);
        drop(deposed);
        let outcome = tokio::time::timeout(CONNECT_TIME / 2, outcome).await.expect("it does not wait for the connection");
        assert_eq!(outcome.unwrap(), Err(Undecided::NotHappened("another node leads by now".into())));
        carrying.await.unwrap();
    }
}
