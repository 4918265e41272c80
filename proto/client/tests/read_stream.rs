//! Many reads over one stream, against a node that answers out of order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use proto::v1::{
    self, get_many_result,
    secrets_server::{Secrets, SecretsServer},
};
use proto_client::{Client, ClientConfig, ReadStream};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};

/// Answers reads in pairs, the second first. `missing` is refused, and `cut` ends the stream.
struct Backwards;

type Outbound<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

macro_rules! refused {
    ($($method:ident($request:ident) -> $answer:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl Secrets for Backwards {
            type GetStreamStream = Outbound<v1::GetStreamResponse>;
            type WatchStream = Outbound<v1::WatchEvent>;

            async fn get_stream(
                &self,
                request: Request<Streaming<v1::GetStreamRequest>>,
            ) -> Result<Response<Self::GetStreamStream>, Status> {
                Ok(Response::new(backwards(request.into_inner())))
            }

            async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
                Err(Status::unimplemented("this node only reads"))
            }

            $(
                async fn $method(&self, _: Request<v1::$request>) -> Result<Response<v1::$answer>, Status> {
                    Err(Status::unimplemented("this node only reads"))
                }
            )*
        }
    };
}

refused! {
    put(PutRequest) -> PutResponse, patch(PatchRequest) -> PutResponse, get(GetRequest) -> GetResponse,
    get_many(GetManyRequest) -> GetManyResponse, set_metadata(SetMetadataRequest) -> SetMetadataResponse,
    list(ListRequest) -> ListResponse, search(SearchRequest) -> ListResponse, history(HistoryRequest) -> HistoryResponse,
    rollback(RollbackRequest) -> PutResponse, delete(VersionsRequest) -> VersionsResponse,
    undelete(VersionsRequest) -> VersionsResponse, destroy(VersionsRequest) -> VersionsResponse,
    copy(CopyRequest) -> PutResponse, r#move(CopyRequest) -> PutResponse, transact(TransactRequest) -> TransactResponse,
}

fn backwards(mut reads: Streaming<v1::GetStreamRequest>) -> Outbound<v1::GetStreamResponse> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(Ok(first)) = reads.next().await {
            if first.get.as_ref().unwrap().path == "cut" {
                return;
            }
            let second = reads.next().await.unwrap().unwrap();
            for read in [second, first] {
                sender.send(Ok(answer(read))).await.unwrap();
            }
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

fn answer(read: v1::GetStreamRequest) -> v1::GetStreamResponse {
    let path = read.get.unwrap().path;
    let result = if path == "missing" {
        get_many_result::Result::Refused(v1::Refusal { code: Code::NotFound as i32, message: "nothing at missing".into() })
    } else {
        let value = v1::Value { kind: Some(v1::value::Kind::Bytes(path.into_bytes().into())) };
        get_many_result::Result::Found(v1::GetResponse { value: Some(value), ..Default::default() })
    };
    v1::GetStreamResponse { id: read.id, result: Some(v1::GetManyResult { result: Some(result) }) }
}

async fn reads(window: usize) -> ReadStream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Server::builder().add_service(SecretsServer::new(Backwards));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoints = [format!("http://{nobody}"), format!("http://{address}")];
    let config = ClientConfig { timeout: Duration::from_secs(5), ..ClientConfig::new(endpoints) };
    Client::connect(config).await.unwrap().secrets().get_stream(window).await.unwrap()
}

fn get(path: &str) -> v1::GetRequest {
    v1::GetRequest { path: path.to_owned(), ..Default::default() }
}

fn bytes(answer: v1::GetResponse) -> Vec<u8> {
    match answer.value.unwrap().kind.unwrap() {
        v1::value::Kind::Bytes(bytes) => bytes.to_vec(),
        v1::value::Kind::Fields(_) => panic!("this node has no structured values"),
    }
}

#[tokio::test]
async fn every_read_gets_its_own_answer_whatever_the_order() {
    let stream = reads(8).await;
    let paths: Vec<_> = (0..64).map(|number| format!("db/{number}")).collect();
    let answers = futures::future::join_all(paths.iter().map(|path| stream.read(get(path)))).await;
    for (path, answer) in paths.iter().zip(answers) {
        assert_eq!(bytes(answer.unwrap()), path.as_bytes());
    }
}

#[tokio::test]
async fn a_refusal_concerns_one_read_alone() {
    let stream = reads(2).await;
    let (refused, found) = tokio::join!(stream.read(get("missing")), stream.read(get("db")));
    let refused = refused.unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (Code::NotFound, "nothing at missing"));
    assert_eq!(bytes(found.unwrap()), b"db");
}

#[tokio::test]
async fn when_the_stream_ends_nobody_waits_for_ever() {
    let stream = reads(2).await;
    assert_eq!(stream.read(get("cut")).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(stream.read(get("db")).await.unwrap_err().code, Code::Unavailable);
}
