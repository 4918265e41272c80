//! A state with the chain at it, as a snapshot file holds it, and how batches move it on.

use crate::engine::values::ValueKey;
use bytes::Bytes;
use node_domain::ids::{EnvironmentName, Revision};
use node_domain::sealed::Payload;
use node_domain::secret::{Secret, VersionState};
use node_domain::state::Piece;
use node_domain::{Decision, State};
use proto_record::chain::{self, Link};
use proto_record::codec::{self, Kind};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use storage::{SnapshotError, SnapshotReader, StatePoint, workers};

/// Records go from one thread to another in bunches of so many bytes, and so many bunches may wait.
const BUNCH_BYTES: usize = 64 << 10;
const BUNCHES_AHEAD: usize = 8;

/// A state and the chain at its revision.
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) chain: Link,
}

/// One record of a snapshot file.
#[derive(Serialize, Deserialize)]
pub(crate) enum Record {
    Chain(Link),
    Piece(Piece),
    Value(EnvironmentName, ValueKey, Payload),
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        codec::encode(Kind::StatePiece, self)
    }
}

impl Standing {
    /// A cluster that has no record yet.
    pub(crate) fn before_everything(state: State) -> Standing {
        let chain = chain::genesis(state.cluster());
        Standing { state, chain }
    }

    /// What can be told of it from outside.
    pub(crate) fn point(&self) -> StatePoint {
        point(&self.state, &self.chain)
    }

    /// Reads a snapshot: pieces make the state, values go to `keep`. The whole file has verified when this returns, and the state is the
    /// one that its header names.
    pub(crate) fn read(
        reader: &SnapshotReader,
        path: &Path,
        mut keep: impl FnMut(EnvironmentName, ValueKey, Payload) -> io::Result<()>,
    ) -> io::Result<Standing> {
        let damaged = |why: String| io::Error::other(format!("snapshot {}: {why}", path.display()));
        let mut chain = None;
        let mut state: Option<State> = None;
        each_record(reader, |record| {
            match record {
                Record::Chain(link) => chain = Some(link),
                Record::Piece(piece) => match &mut state {
                    None => state = Some(State::start(piece).map_err(|error| damaged(error.to_string()))?),
                    Some(state) => state.take(piece).map_err(|error| damaged(error.to_string()))?,
                },
                Record::Value(environment, key, payload) => keep(environment, key, payload)?,
            }
            Ok(())
        })?;
        let (Some(state), Some(chain)) = (state, chain) else { return Err(damaged("it holds no state".into())) };
        state.check_digest().map_err(|error| damaged(error.to_string()))?;
        let standing = Standing { state, chain };
        let header = reader.header();
        if (standing.point(), standing.state.epoch()) != (header.at, header.epoch) {
            return Err(damaged("it holds another state than its header names".into()));
        }
        Ok(standing)
    }

    /// Reads the values of a snapshot once more, whose state is at hand: no second one is built.
    pub(crate) fn read_values(
        reader: &SnapshotReader,
        mut keep: impl FnMut(EnvironmentName, ValueKey, Payload) -> io::Result<()>,
    ) -> io::Result<()> {
        each_record(reader, |record| match record {
            Record::Value(environment, key, payload) => keep(environment, key, payload),
            _ => Ok(()),
        })
    }

    /// Folds one decision.
    pub(crate) fn take_decision(&mut self, decision: &Decision) -> io::Result<()> {
        let before = self.state.revision().0;
        self.state.apply(decision).map_err(|misfit| io::Error::other(misfit.to_string()))?;
        self.chain = chain_decision(decision, before, self.chain, &self.state);
        Ok(())
    }
}

/// Every record of a snapshot, in order. They are opened and decoded on a thread of their own, while this one does something with those
/// before.
fn each_record(reader: &SnapshotReader, mut take: impl FnMut(Record) -> io::Result<()>) -> io::Result<()> {
    let decode = |record: Result<Bytes, SnapshotError>| -> io::Result<(usize, Record)> {
        let record = record.map_err(io::Error::other)?;
        Ok((record.len(), codec::decode(Kind::StatePiece, &record)?))
    };
    if workers::are_simulated() {
        return reader.records().try_for_each(|record| take(decode(record)?.1));
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(BUNCHES_AHEAD);
        let reading = move || {
            let (mut bunch, mut bytes) = (Vec::new(), 0);
            for record in reader.records() {
                let record = decode(record);
                // What is wrong ends it.
                bytes += record.as_ref().map_or(BUNCH_BYTES, |(len, _)| *len);
                let is_last = record.is_err();
                bunch.push(record.map(|(_, record)| record));
                if bytes >= BUNCH_BYTES {
                    // Whoever has had enough hears no more.
                    if sender.send(std::mem::take(&mut bunch)).is_err() || is_last {
                        return;
                    }
                    bytes = 0;
                }
            }
            drop(sender.send(bunch));
        };
        std::thread::Builder::new().name("snapshot".into()).spawn_scoped(scope, reading)?;
        receiver.into_iter().flatten().try_for_each(|record| take(record?))
    })
}

/// What can be told of a state from outside.
pub(crate) fn point(state: &State, chain: &Link) -> StatePoint {
    StatePoint { revision: state.revision().0, stamp_us: state.stamp().0, chain: *chain, digest: state.digest() }
}

/// The chain after a decision whose records follow record `before`; `state` is one of the same timeline.
pub(crate) fn chain_decision(decision: &Decision, before: u64, chain: Link, state: &State) -> Link {
    let seqs = before + 1..;
    seqs.zip(0..decision.events.len())
        .fold(chain, |chain, (seq, at)| chain::next(&chain, &decision.leaf(at, Revision(seq), state.cluster(), state.epoch())))
}

/// All values of a state.
pub(crate) fn values_in(state: &State) -> impl Iterator<Item = ValueKey> + '_ {
    state.environments().flat_map(|home| home.secrets.values()).flat_map(|secret| values_of(secret))
}

/// Versions that have a value.
pub(crate) fn values_of(secret: &Secret) -> impl Iterator<Item = ValueKey> + '_ {
    let with_value = secret.versions.iter().filter(|version| version.state != VersionState::Destroyed);
    with_value.map(|version| (secret.id, version.number))
}
