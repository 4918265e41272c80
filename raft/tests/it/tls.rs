//! Who may speak on the peer port.

use std::{net::SocketAddr, sync::Arc};

use openraft::{
    RaftNetworkFactory, RaftNetworkV2, Vote,
    network::RPCOption,
    raft::{AppendEntriesRequest, VoteRequest},
};
use raft::{
    Epoch, Member, TypeConfig,
    transport::grpc::{GrpcTransport, PeerChannels, PeerCredentials, PeerTls, PeerTlsError, TcpDial},
};
use std::time::Duration;

use crate::support::{
    certificates::Authority,
    world::{Net, World, patient},
};

/// A network as node `id` with these credentials would have it.
async fn link_to(
    world: &World,
    target: u64,
    id: u64,
    credentials: &PeerCredentials,
) -> <GrpcTransport as RaftNetworkFactory<TypeConfig>>::Network {
    let tls = Arc::new(PeerTls::new(id, credentials).unwrap());
    let mut transport = GrpcTransport::new(PeerChannels::new(tls, Arc::new(TcpDial)), Epoch::default());
    transport.new_client(target, &world.member(target)).await
}

fn soon() -> RPCOption {
    RPCOption::new(Duration::from_secs(10))
}

fn authority(world: &World) -> &Authority {
    let Net::Grpc { authority, .. } = &world.net else { panic!("this world has no certificates") };
    authority
}

fn vote_of(term: u64, id: u64) -> VoteRequest<TypeConfig> {
    VoteRequest::new(Vote::new(term, id), None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_heard_when_it_speaks_for_itself() {
    let mut world = World::empty(Net::grpc(), patient());
    world.start(1).await;
    let mut link = link_to(&world, 1, 2, &authority(&world).credentials(2)).await;
    let answer = link.vote(vote_of(1, 2), soon()).await.unwrap();
    assert!(answer.vote_granted);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_node_2_cannot_speak_as_node_3() {
    let mut world = World::empty(Net::grpc(), patient());
    world.start(1).await;
    let mut link = link_to(&world, 1, 2, &authority(&world).credentials(2)).await;
    let append =
        AppendEntriesRequest { vote: Vote::new_committed(9, 3), prev_log_id: None, entries: vec![], leader_commit: None };
    let refusals = [
        link.vote(vote_of(9, 3), soon()).await.unwrap_err().to_string(),
        link.pre_vote(vote_of(9, 3), soon()).await.unwrap_err().to_string(),
        link.append_entries(append.clone(), soon()).await.unwrap_err().to_string(),
        streamed(&mut link, append).await,
    ];
    for refusal in refusals {
        assert!(refusal.contains("node 2 cannot speak as node 3"), "{refusal}");
    }
    assert_eq!(world.replica(1).status().term, 0);
    world.finish().await;
}

async fn streamed(link: &mut impl RaftNetworkV2<TypeConfig>, append: AppendEntriesRequest<TypeConfig>) -> String {
    use futures::StreamExt;
    let requests = futures::stream::iter([append]);
    let mut answers = link.stream_append(requests, soon()).await.unwrap();
    answers.next().await.unwrap().unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_refused() {
    let mut world = World::empty(Net::grpc(), patient());
    world.start(1).await;
    let stranger = Authority::new();
    // It trusts the cluster, so that it is the cluster that has to refuse.
    let mut credentials = stranger.credentials(2);
    credentials.ca_pem = authority(&world).credentials(2).ca_pem;
    let mut link = link_to(&world, 1, 2, &credentials).await;
    assert!(link.vote(vote_of(9, 2), soon()).await.is_err());
    assert_eq!(world.replica(1).status().term, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_talk_to_a_server_that_is_another_node() {
    let mut world = World::empty(Net::grpc(), patient());
    world.start(1).await;
    let credentials = authority(&world).credentials(2);
    let tls = Arc::new(PeerTls::new(2, &credentials).unwrap());
    let mut transport = GrpcTransport::new(PeerChannels::new(tls, Arc::new(TcpDial)), Epoch::default());
    // Node 3 is said to be where node 1 is.
    let misled = Member { peer_address: world.member(1).peer_address, ..Member::default() };
    let mut link = transport.new_client(3, &misled).await;
    let refusal = link.vote(vote_of(9, 2), soon()).await.unwrap_err().to_string();
    assert!(refusal.contains("connect to node 3") && refusal.contains("certificate"), "{refusal}");
    assert_eq!(world.replica(1).status().term, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_a_certificate_is_refused() {
    let mut world = World::empty(Net::grpc(), patient());
    world.start(1).await;
    let address: SocketAddr = world.member(1).peer_address.parse().unwrap();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    assert!(endpoint.connect().await.is_err() || unauthenticated(&endpoint).await);
    world.finish().await;
}

/// Whether a call in the clear fails.
async fn unauthenticated(endpoint: &tonic::transport::Endpoint) -> bool {
    let mut client = proto::peer::v1::raft_client::RaftClient::new(endpoint.connect_lazy());
    client.vote(proto::peer::v1::RaftMessage::default()).await.is_err()
}

#[test]
fn credentials_that_do_not_fit_are_refused_with_the_reason() {
    let authority = Authority::new();
    let other = PeerTls::new(1, &authority.credentials(2)).unwrap_err();
    assert_eq!(other.to_string(), "certificate is for node 2, this is node 1");
    let anonymous = PeerTls::new(1, &authority.credentials_naming(&["localhost"])).unwrap_err();
    assert!(matches!(anonymous, PeerTlsError::Anonymous), "{anonymous}");
    let ambiguous = PeerTls::new(1, &authority.credentials_naming(&["node-1", "node-2"])).unwrap_err();
    assert!(matches!(ambiguous, PeerTlsError::Ambiguous(1, 2)), "{ambiguous}");
    let mut foreign_key = authority.credentials(1);
    foreign_key.key_pem = authority.credentials(1).key_pem;
    assert!(matches!(PeerTls::new(1, &foreign_key), Err(PeerTlsError::Setup(_))));
    let mut empty = authority.credentials(1);
    empty.ca_pem = Vec::new();
    assert!(matches!(PeerTls::new(1, &empty), Err(PeerTlsError::Pem { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_credentials_reach_new_connections_and_bad_ones_change_nothing() {
    let mut world = World::empty(Net::grpc(), patient());
    world.start(1).await;
    let (old, new) = (Authority::new(), authority(&world));
    let tls = Arc::new(PeerTls::new(2, &old.credentials(2)).unwrap());
    let mut transport = GrpcTransport::new(PeerChannels::new(tls.clone(), Arc::new(TcpDial)), Epoch::default());
    let mut link = transport.new_client(1, &world.member(1)).await;
    assert!(link.vote(vote_of(1, 2), soon()).await.is_err());

    tls.replace(&new.credentials(2)).unwrap();
    assert!(tls.replace(&new.credentials(3)).is_err());
    assert!(link.vote(vote_of(1, 2), soon()).await.unwrap().vote_granted);
    world.finish().await;
}
