//! The port for clients: TLS, the services, health and reflection.

use crate::api::access::{PoliciesService, TokensService};
use crate::api::audit::AuditService;
use crate::api::cluster::ClusterService;
use crate::api::door::Door;
use crate::api::environments::EnvironmentsService;
use crate::api::identity::{CertRolesService, IssuersService, LoginService, MachinesService, UsersService, WrappingService};
use crate::api::secrets::SecretsService;
use proto::v1;
use raft::{Replica, Role};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;

/// The largest message that a client may send: a whole transaction.
const RECEIVE_BYTES_MAX: usize = 8 << 20;
/// The largest answer: 256 values of the largest size do not fit, and a client that asks so much is told.
const SEND_BYTES_MAX: usize = 64 << 20;
/// Calls of one connection under way at once; more wait.
const CALLS_PER_CONNECTION_MAX: usize = 1024;
/// Calls and open streams of one connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 1024;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const WINDOW_BYTES: u32 = 4 << 20;

const _: () = assert!(node_domain::limits::TRANSACTION_BYTES_MAX < RECEIVE_BYTES_MAX);

macro_rules! sized {
    ($server:expr) => {
        $server.max_decoding_message_size(RECEIVE_BYTES_MAX).max_encoding_message_size(SEND_BYTES_MAX)
    };
}

/// What clients see of this node, and whose certificates they may show.
pub(crate) struct ClientTls {
    pub(crate) identity: Identity,
    /// Where it is set, a client may show a certificate that leads to it; it need not.
    pub(crate) authority: Option<Certificate>,
}

impl ClientTls {
    fn config(self) -> ServerTlsConfig {
        let config = ServerTlsConfig::new().identity(self.identity).timeout(HANDSHAKE);
        match self.authority {
            Some(authority) => config.client_ca_root(authority).client_auth_optional(true),
            None => config,
        }
    }
}

/// Serves clients until `stop`, and then until the calls under way are answered.
pub(crate) async fn clients(
    listener: TcpListener,
    tls: ClientTls,
    door: Arc<Door>,
    replica: Replica,
    stop: CancellationToken,
) -> Result<(), String> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| error.to_string())?;
    let watching = tokio::spawn(report_health(reporter, replica.clone()));
    let incoming = TcpListenerStream::new(listener);
    let nodelay = futures::StreamExt::map(incoming, |stream| stream.inspect(|stream| drop(stream.set_nodelay(true))));
    let served = Server::builder()
        .tls_config(tls.config())
        .map_err(|error| format!("client certificate: {error:?}"))?
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION_MAX))
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION_MAX)
        .add_service(health)
        .add_service(reflection)
        .add_service(sized!(v1::secrets_server::SecretsServer::new(SecretsService(door.clone()))))
        .add_service(sized!(v1::environments_server::EnvironmentsServer::new(EnvironmentsService(door.clone()))))
        .add_service(sized!(v1::tokens_server::TokensServer::new(TokensService(door.clone()))))
        .add_service(sized!(v1::policies_server::PoliciesServer::new(PoliciesService(door.clone()))))
        .add_service(sized!(v1::login_server::LoginServer::new(LoginService(door.clone()))))
        .add_service(sized!(v1::users_server::UsersServer::new(UsersService(door.clone()))))
        .add_service(sized!(v1::machines_server::MachinesServer::new(MachinesService(door.clone()))))
        .add_service(sized!(v1::wrapping_server::WrappingServer::new(WrappingService(door.clone()))))
        .add_service(sized!(v1::cert_roles_server::CertRolesServer::new(CertRolesService(door.clone()))))
        .add_service(sized!(v1::issuers_server::IssuersServer::new(IssuersService(door.clone()))))
        .add_service(sized!(v1::audit_server::AuditServer::new(AuditService(door.clone()))))
        .add_service(sized!(v1::cluster_server::ClusterServer::new(ClusterService { door, replica })))
        .serve_with_incoming_shutdown(nodelay, stop.cancelled_owned())
        .await;
    watching.abort();
    served.map_err(|error| format!("serve clients: {error:?}"))
}

/// Serving while a leader is known: then every node answers everything.
async fn report_health(reporter: tonic_health::server::HealthReporter, replica: Replica) {
    let mut role = replica.watch_role();
    loop {
        let serving = match &*role.borrow_and_update() {
            Role::Leader { .. } => true,
            Role::Follower { leader } | Role::Learner { leader } => leader.is_some(),
            Role::Candidate | Role::Stopped { .. } => false,
        };
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        reporter.set_service_status("holdfast.v1.Secrets", status).await;
        if role.changed().await.is_err() {
            return;
        }
    }
}
