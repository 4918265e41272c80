//! The service of the cluster: where it stands, and who belongs to it.

use crate::api::door::Door;
use crate::health::Health;
use crate::leadership;
use crate::members::{self, placement};
use crate::repair::{UnderWay, records, service::span_of};
use node_domain::Command;
use node_domain::operation::Operation;
use proto::v1;
use proto::v1::cluster_server::Cluster;
use raft::{Member, MemberState, MembershipError, Replica, ReplicaStatus};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// How long nodes may take to answer before one of them is taken out.
const ANSWER_MAX: Duration = Duration::from_secs(1);
const ANSWER_LOOK: Duration = Duration::from_millis(20);
/// How long a change of members may take to be on the journal.
const TOLD_MAX: Duration = Duration::from_secs(5);

/// The service, behind the door.
pub(crate) struct ClusterService {
    pub(crate) door: Arc<Door>,
    pub(crate) replica: Replica,
    pub(crate) health: Arc<Health>,
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        let (caller, message) = self.door.receive(request);
        let command = Command::Cluster { operation: Operation::ClusterStatus, node: self.door.node_id };
        let done = self.door.submit(&caller, Operation::ClusterStatus, &message, Ok(command)).await?;
        let status = self.replica.status();
        let state = &done.view.state;
        Ok(Response::new(v1::StatusResponse {
            cluster_id: state.cluster().to_vec().into(),
            node_id: self.door.node_id,
            leader_id: status.leader.unwrap_or(0),
            term: status.term,
            last_log_index: status.last_log.unwrap_or(0),
            committed_index: status.committed.unwrap_or(0),
            applied_index: status.applied.unwrap_or(0),
            snapshot_index: status.snapshot.unwrap_or(0),
            seq: state.revision().0,
            chain: done.view.chain.to_vec().into(),
            state_digest: state.digest().to_vec().into(),
            members: self.members(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            journal_first_seq: self.door.journal.first_seq(),
            epoch: state.epoch(),
            draining: self.door.gate.is_closed(),
            damages: self.damages(),
        }))
    }

    async fn add_learner(&self, request: Request<v1::AddLearnerRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::ClusterAddLearner);
        let command = Command::Cluster { operation: Operation::ClusterAddLearner, node: message.node_id };
        // Which numbers were taken once stands in the state, and a node that left a moment ago not yet.
        let told = !self.leads() || self.is_told().await;
        self.door.submit(&caller, Operation::ClusterAddLearner, &message, Ok(command)).await?;
        if message.node_id == 0 || message.peer_address.is_empty() || message.client_address.is_empty() {
            return Err(Status::invalid_argument("a member has a node id above 0, a peer address and a client address"));
        }
        if !told {
            return Err(Status::unavailable("the journal does not know yet who is a member: ask again in a moment"));
        }
        let member = Member { peer_address: message.peer_address, client_address: message.client_address, zone: message.zone };
        self.changed(self.replica.add_learner(message.node_id, member).await)
    }

    async fn promote(&self, request: Request<v1::MemberRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let even_so = request.get_ref().even_so;
        let node = self.permitted(request, Operation::ClusterPromote).await?;
        if !even_so && let Some((why, instead)) = placement::better_than(&self.member_states(), node) {
            return Err(Status::failed_precondition(format!("{why}: promote node {instead} instead, or say --even-so")));
        }
        if !even_so && self.leads() {
            self.check_answering(|members, status, since| placement::can_vote(members, status, node, since)).await?;
        }
        self.changed(self.replica.promote(node).await)
    }

    async fn demote(&self, request: Request<v1::MemberRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let even_so = request.get_ref().even_so;
        let node = self.permitted(request, Operation::ClusterDemote).await?;
        if !even_so && self.leads() {
            self.check_spared(node).await?;
        }
        // Without a vote it could not lead, and the others would have to notice first.
        if self.leads() && node == self.door.node_id {
            let leader = leadership::hand_over(&self.replica).await;
            return self.changed(leader.and_then(|leader| Err(MembershipError::NotLeader { leader: Some(leader) })));
        }
        self.changed(self.replica.demote(node).await)
    }

    async fn remove(&self, request: Request<v1::MemberRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let even_so = request.get_ref().even_so;
        let node = self.permitted(request, Operation::ClusterRemove).await?;
        if !even_so && self.leads() {
            self.check_spared(node).await?;
            self.check_kept(node).await?;
        }
        self.changed(self.replica.remove(node).await)
    }

    async fn replace(&self, request: Request<v1::ReplaceRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::ClusterReplace);
        let command = Command::Cluster { operation: Operation::ClusterReplace, node: message.node_id };
        self.door.submit(&caller, Operation::ClusterReplace, &message, Ok(command)).await?;
        let (old, by) = (message.node_id, message.by_node_id);
        if self.leads() {
            self.check_answering(|members, status, since| placement::can_take_over(members, status, (old, by), since)).await?;
            self.check_kept(old).await?;
        }
        self.changed(self.replica.replace(old, by).await)
    }

    async fn transfer_leader(&self, request: Request<v1::MemberRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let node = self.permitted(request, Operation::ClusterTransferLeader).await?;
        if node == 0 {
            return self.changed(leadership::hand_over(&self.replica).await.map(drop));
        }
        self.changed(self.replica.transfer_leader(node).await)
    }

    async fn health(&self, _: Request<v1::HealthRequest>) -> Result<Response<v1::HealthResponse>, Status> {
        let report = self.health.report().await;
        let indicators = report.indicators.iter().map(|indicator| v1::Indicator {
            name: indicator.name.to_owned(),
            status: indicator.status.word().to_owned(),
            says: indicator.says.clone(),
            value: indicator.value,
            unit: indicator.unit.to_owned(),
        });
        Ok(Response::new(v1::HealthResponse {
            node_id: report.node,
            zone: report.zone.clone(),
            role: report.role.to_owned(),
            status: report.status.word().to_owned(),
            ready: report.ready,
            version: report.version.to_owned(),
            indicators: indicators.collect(),
        }))
    }

    async fn drain(&self, request: Request<v1::MemberRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        self.is_meant(request.get_ref().node_id)?;
        self.permitted(request, Operation::ClusterDrain).await?;
        self.door.gate.close();
        tracing::info!(node = self.door.node_id, "drained: this node takes no calls until it is resumed or started again");
        leadership::let_go(&self.replica).await;
        self.changed(Ok(()))
    }

    async fn resume(&self, request: Request<v1::MemberRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        self.is_meant(request.get_ref().node_id)?;
        self.permitted(request, Operation::ClusterResume).await?;
        self.door.gate.open();
        tracing::info!(node = self.door.node_id, "this node takes calls again");
        self.changed(Ok(()))
    }

    async fn trigger_snapshot(
        &self,
        request: Request<v1::TriggerSnapshotRequest>,
    ) -> Result<Response<v1::TriggerSnapshotResponse>, Status> {
        let (caller, message) = self.door.receive_change(request, Operation::ClusterSnapshot);
        let command = Command::Cluster { operation: Operation::ClusterSnapshot, node: self.door.node_id };
        self.door.submit(&caller, Operation::ClusterSnapshot, &message, Ok(command)).await?;
        let index =
            self.replica.trigger_snapshot().await.map_err(|error| crate::api::status::fault("take a snapshot", &error))?;
        Ok(Response::new(v1::TriggerSnapshotResponse { index: index.unwrap_or(0) }))
    }
}

impl ClusterService {
    /// Only a node itself can be drained: a caller who meant another one goes on to it.
    fn is_meant(&self, node: u64) -> Result<(), Status> {
        let own = self.door.node_id;
        if node == own {
            return Ok(());
        }
        if !self.replica.members().contains_key(&node) {
            return Err(Status::not_found(format!("node {node} is not a member")));
        }
        Err(Status::unavailable(format!("this is node {own}: node {node} has to be asked itself, name its address")))
    }

    fn damages(&self) -> Vec<v1::Damage> {
        let under_way = self.door.mending.repairs.under_way().into_iter();
        let damage = |UnderWay { part, found, failed }| v1::Damage {
            part: part.word().to_owned(),
            found,
            failed: failed.unwrap_or_default(),
        };
        under_way.map(damage).collect()
    }

    async fn permitted(&self, request: Request<v1::MemberRequest>, operation: Operation) -> Result<u64, Status> {
        let (caller, message) = self.door.receive_change(request, operation);
        let command = Command::Cluster { operation, node: message.node_id };
        self.door.submit(&caller, operation, &message, Ok(command)).await?;
        Ok(message.node_id)
    }

    /// Those left vote on without it.
    async fn check_spared(&self, node: u64) -> Result<(), Status> {
        self.check_answering(|members, status, since| placement::can_spare(members, status, node, since)).await
    }

    /// Those left must answer now: that they did a moment ago says nothing of a node that has just died.
    async fn check_answering(
        &self,
        check: impl Fn(&[MemberState], &ReplicaStatus, Duration) -> Result<(), String>,
    ) -> Result<(), Status> {
        let asked = Instant::now();
        loop {
            let elapsed = asked.elapsed();
            // Who leads now has to be asked, and will be.
            if !self.leads() {
                return Ok(());
            }
            match check(&self.member_states(), &self.replica.status(), elapsed) {
                Ok(()) => return Ok(()),
                Err(why) if elapsed > ANSWER_MAX => return Err(Status::failed_precondition(why)),
                Err(_) => tokio::time::sleep(ANSWER_LOOK).await,
            }
        }
    }

    /// Waits until the state knows all changes of members; whether it does.
    async fn is_told(&self) -> bool {
        let told = async {
            while !members::are_told(&self.door.view().state, &self.replica) {
                tokio::time::sleep(ANSWER_LOOK).await;
            }
        };
        tokio::time::timeout(TOLD_MAX, told).await.is_ok()
    }

    /// The journal must not go with a node.
    async fn check_kept(&self, leaving: u64) -> Result<(), Status> {
        let own = span_of(&self.door.journal).await.map_err(Status::unavailable)?;
        let spans = self.door.mending.peers.spans().await.into_iter().map(|(id, _, span)| (id, span));
        let spans: Vec<_> = spans.chain([(self.door.node_id, own)]).collect();
        let view = self.door.view();
        let is_beginning = |first| records::is_beginning(first, view.state.recovery().timelines());
        records::check_kept(&spans, leaving, is_beginning).map_err(Status::failed_precondition)
    }

    fn member_states(&self) -> Vec<MemberState> {
        self.replica.members().into_values().collect()
    }

    fn leads(&self) -> bool {
        self.replica.leader().is_some_and(|leader| leader.id == self.door.node_id)
    }

    fn changed(&self, outcome: Result<(), MembershipError>) -> Result<Response<v1::MembershipResponse>, Status> {
        outcome.map_err(|error| match error {
            // Another endpoint may be the leader: clients go on to it.
            MembershipError::NotLeader { .. } | MembershipError::Stopped(_) => Status::unavailable(error.to_string()),
            MembershipError::NotMember(_) => Status::not_found(error.to_string()),
            MembershipError::AlreadyMember(_) => Status::already_exists(error.to_string()),
            other => Status::failed_precondition(other.to_string()),
        })?;
        let leader_id = self.replica.leader().map_or(0, |leader| leader.id);
        Ok(Response::new(v1::MembershipResponse { leader_id }))
    }

    fn members(&self) -> Vec<v1::Member> {
        let status = self.replica.status();
        let lag_of = |id| status.followers.iter().find(|follower| follower.id == id).map(|follower| follower.lag);
        let members = self.replica.members();
        members
            .into_values()
            .map(|state| v1::Member {
                node_id: state.id,
                zone: state.member.zone,
                peer_address: state.member.peer_address,
                client_address: state.member.client_address,
                voter: state.voter,
                leader: status.leader == Some(state.id),
                lag: lag_of(state.id),
            })
            .collect()
    }
}
