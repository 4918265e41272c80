//! The port for clients: TLS, the services, health and reflection.

use crate::api::access::TokensService;
use crate::api::alerts::AlertsService;
use crate::api::audit::AuditService;
use crate::api::cluster::ClusterService;
use crate::api::door::Door;
use crate::api::environments::EnvironmentsService;
use crate::api::identity::{CertRolesService, IssuersService, LoginService, MachinesService, UsersService, WrappingService};
use crate::api::keys::KeysService;
use crate::api::policies::{PoliciesService, RolesService};
use crate::api::promotions::PromotionsService;
use crate::api::secrets::SecretsService;
use crate::api::snapshots::SnapshotsService;
use crate::api::value_rules::ValueRulesService;
use crate::backups::Saving;
use crate::certificates::ClientTls;
use crate::connections;
use crate::health::Health;
use crate::seal::Rotation;
use crate::seal::service::SealService;
use proto::v1;
use raft::Replica;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic_health::ServingStatus;

/// The largest message that a client may send: a whole transaction.
const RECEIVE_BYTES_MAX: usize = 8 << 20;
/// The largest answer: 256 values of the largest size do not fit, and a client that asks so much is told.
const SEND_BYTES_MAX: usize = 64 << 20;
/// Calls of one connection under way at once; more wait.
const CALLS_PER_CONNECTION_MAX: usize = 1024;
/// Calls and open streams of one connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 1024;
/// Connections at a time to a node that is not unsealed.
const SEALED_CONNECTIONS_MAX: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How often gRPC's health service learns how the node is.
const PROBE: Duration = Duration::from_millis(250);
/// The services that answer while the node is ready; the empty name is the node as a whole.
const PROBED: [&str; 5] = ["", "holdfast.v1.Secrets", "holdfast.v1.Login", "holdfast.v1.Audit", "holdfast.v1.Environments"];
const WINDOW_BYTES: u32 = 4 << 20;

const _: () = assert!(node_domain::limits::TRANSACTION_BYTES_MAX < RECEIVE_BYTES_MAX);

macro_rules! sized {
    ($server:expr) => {
        $server.max_decoding_message_size(RECEIVE_BYTES_MAX).max_encoding_message_size(SEND_BYTES_MAX)
    };
}

/// A service that sends its callers to another node while this one's gate is closed.
macro_rules! gated {
    ($gate:expr, $server:expr) => {
        InterceptedService::new(sized!($server), $gate.clone())
    };
}

/// What clients are served with.
pub(crate) struct Services {
    pub(crate) door: Arc<Door>,
    pub(crate) replica: Replica,
    pub(crate) seal: SealService,
    pub(crate) rotation: Arc<Rotation>,
    pub(crate) health: Arc<Health>,
    pub(crate) saving: Arc<Saving>,
}

impl Services {
    /// All of them, each behind the gate where it has to be.
    pub(crate) fn routes(self) -> Routes {
        let Services { door, replica, seal, rotation, saving, health } = self;
        let gate = door.gate.clone();
        Routes::new(gated!(gate, v1::secrets_server::SecretsServer::new(SecretsService(door.clone()))))
            .add_service(gated!(gate, v1::environments_server::EnvironmentsServer::new(EnvironmentsService(door.clone()))))
            .add_service(gated!(gate, v1::tokens_server::TokensServer::new(TokensService(door.clone()))))
            .add_service(gated!(gate, v1::policies_server::PoliciesServer::new(PoliciesService(door.clone()))))
            .add_service(gated!(gate, v1::roles_server::RolesServer::new(RolesService(door.clone()))))
            .add_service(gated!(gate, v1::login_server::LoginServer::new(LoginService(door.clone()))))
            .add_service(gated!(gate, v1::users_server::UsersServer::new(UsersService(door.clone()))))
            .add_service(gated!(gate, v1::machines_server::MachinesServer::new(MachinesService(door.clone()))))
            .add_service(gated!(gate, v1::wrapping_server::WrappingServer::new(WrappingService(door.clone()))))
            .add_service(gated!(gate, v1::cert_roles_server::CertRolesServer::new(CertRolesService(door.clone()))))
            .add_service(gated!(gate, v1::issuers_server::IssuersServer::new(IssuersService(door.clone()))))
            .add_service(gated!(gate, v1::audit_server::AuditServer::new(AuditService(door.clone()))))
            .add_service(gated!(gate, v1::alerts_server::AlertsServer::new(AlertsService(door.clone()))))
            .add_service(gated!(gate, v1::promotions_server::PromotionsServer::new(PromotionsService(door.clone()))))
            .add_service(gated!(gate, v1::value_rules_server::ValueRulesServer::new(ValueRulesService(door.clone()))))
            .add_service(gated!(
                gate,
                v1::snapshots_server::SnapshotsServer::new(SnapshotsService { door: door.clone(), saving })
            ))
            .add_service(sized!(v1::cluster_server::ClusterServer::new(ClusterService { door: door.clone(), replica, health })))
            .add_service(gated!(gate, v1::keys_server::KeysServer::new(KeysService { door, rotation })))
            .add_service(v1::seal_server::SealServer::new(seal))
    }
}

/// How the port for clients is served.
pub(crate) struct Serving {
    pub(crate) routes: Routes,
    pub(crate) health: Arc<Health>,
    /// Connections at a time.
    pub(crate) connections_max: u32,
}

/// Serves clients until `stop`, and then until the calls under way are answered.
pub(crate) async fn clients(
    listener: TcpListener,
    tls: Arc<ClientTls>,
    serving: Serving,
    stop: CancellationToken,
) -> Result<(), String> {
    let Serving { routes, health, connections_max } = serving;
    let (reporter, probes) = tonic_health::server::health_reporter();
    let routes = reflected(routes.add_service(probes))?;
    let watching = tokio::spawn(report_health(reporter, health.clone()));
    let incoming = connections::bounded(listener, connections_max as usize, tls);
    let served = server().add_routes(routes).serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await;
    watching.abort();
    served.map_err(|error| format!("serve clients: {error:?}"))
}

/// Serves a node that is not unsealed, until `stop`: health, reflection and `routes`.
pub(crate) async fn sealed(
    listener: TcpListener,
    tls: Arc<ClientTls>,
    routes: Routes,
    stop: CancellationToken,
) -> Result<(), String> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in PROBED {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }
    let routes = reflected(routes.add_service(health))?;
    let incoming = connections::bounded(listener, SEALED_CONNECTIONS_MAX, tls);
    let served = server().add_routes(routes).serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
    served.await.map_err(|error| format!("serve clients: {error:?}"))
}

fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION_MAX))
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION_MAX)
}

/// The services, with the one that describes them. What it says is put together once in a process.
fn reflected(routes: Routes) -> Result<Routes, String> {
    type Add = Box<dyn Fn(Routes) -> Routes + Send + Sync>;
    static REFLECTION: LazyLock<Result<Add, String>> = LazyLock::new(|| {
        let described = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1();
        let service = described.map_err(|error| error.to_string())?;
        Ok(Box::new(move |routes| routes.add_service(service.clone())))
    });
    REFLECTION.as_ref().map(|add| add(routes)).map_err(Clone::clone)
}

/// What gRPC's own health service says of each service, kept as the node is. The cluster's service answers as long as the node runs; the
/// others only while it is ready.
async fn report_health(reporter: tonic_health::server::HealthReporter, health: Arc<Health>) {
    let mut look = tokio::time::interval(PROBE);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    reporter.set_service_status("holdfast.v1.Cluster", ServingStatus::Serving).await;
    loop {
        look.tick().await;
        let status = if health.report().await.ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in PROBED {
            reporter.set_service_status(service, status).await;
        }
    }
}
