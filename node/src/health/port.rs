//! The health port: plain HTTP for load balancers, orchestrators and people.
//!
//! `/health/live` is 200 unless a restart would help; `/health/ready` is 200 while the node answers requests; `/health` says everything, as
//! JSON, and is 200 unless something fails. Where nothing else is said there is no such port.

use super::{Grade, Health, Report};
use crate::seal::SealDesk;
use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Whom to ask: the running node, or the desk of its seal while there is none.
#[derive(Clone)]
pub(crate) struct Board {
    running: Arc<ArcSwapOption<Health>>,
    desk: Arc<SealDesk>,
    zone: Arc<str>,
}

impl Board {
    pub(crate) fn new(desk: Arc<SealDesk>, zone: &str) -> Board {
        Board { running: Arc::default(), desk, zone: zone.into() }
    }

    /// The node that runs from now on, or none.
    pub(crate) fn set(&self, running: Option<Arc<Health>>) {
        self.running.store(running);
    }

    async fn report(&self) -> Arc<Report> {
        if let Some(health) = self.running.load_full() {
            return health.report().await;
        }
        let status = self.desk.status();
        Arc::new(Report::sealed(status.node_id, &self.zone, &status.phase))
    }
}

/// Serves the board until `stop`.
pub(crate) async fn serve(listener: TcpListener, board: Board, stop: CancellationToken) {
    let routes = Router::new()
        .route("/health", get(whole))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(board);
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the health port failed");
    }
}

async fn whole(State(board): State<Board>) -> Response {
    let report = board.report().await;
    let code = if report.status == Grade::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let text = serde_json::to_string(&*report).unwrap_or_default();
    (code, [(CONTENT_TYPE, "application/json")], text).into_response()
}

async fn live(State(board): State<Board>) -> Response {
    let report = board.report().await;
    plain(report.live, "live", "not live")
}

async fn ready(State(board): State<Board>) -> Response {
    let report = board.report().await;
    plain(report.ready, "ready", "not ready")
}

fn plain(good: bool, yes: &'static str, no: &'static str) -> Response {
    if good { (StatusCode::OK, yes).into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, no).into_response() }
}
