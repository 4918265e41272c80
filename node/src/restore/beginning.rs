//! Writes the beginning of a timeline into a data directory: a snapshot, and a log with one record behind it.

use super::Progress;
use super::fold::Folded;
use crate::boot::Ambient;
use crate::boot::opening::{Local, open_wal};
use crate::bootstrap;
use crate::config::Config;
use crate::engine::snapshots;
use crate::engine::standing::{Record, Standing, values_in, values_of};
use crate::engine::values::ValueKey;
use node_domain::guard::{AlertKind, Severity, notice};
use node_domain::ids::{Accessor, PolicyName, PrincipalName, TokenHash};
use node_domain::policy::ROOT;
use node_domain::recovery::RecoveryEvent;
use node_domain::token::{Login, Terms, Token};
use node_domain::{Batch, Decision, Event, State};
use proto_record::codec::{self, Kind};
use std::collections::HashSet;
use std::io;
use std::path::Path;
use storage::{Contents, Disk, SnapshotHeader, SnapshotWriter};
use storage_crypto::entropy::random;

/// Stands in the data directory while a restore writes into it.
const RESTORING: &str = "restoring";
/// Stands there while a recovery replaces parts of it; says where the old ones are.
const RECOVERING: &str = "recovering";
/// Where a recovery writes the snapshot that is to be.
const NEXT_SNAPSHOTS: &str = "snapshots.next";
/// How the directory starts that holds what a recovery replaced.
const ASIDE: &str = "before-epoch-";
/// What a recovery replaces, in this order.
const REPLACED: [&str; 2] = ["snapshots", "wal"];
/// Parts of a data directory that a node that never ran does not have.
const PARTS: [&str; 4] = ["wal", "journal", "snapshots", "state"];
/// Values between two words about progress.
const PROGRESS_VALUES: u64 = 4096;

/// What a timeline begins with.
pub(super) struct Beginning<'a> {
    pub(super) config: &'a Config,
    pub(super) ambient: &'a Ambient,
    pub(super) local: &'a Local,
    /// Where its snapshot stands in the log.
    pub(super) position: Vec<u8>,
    /// The epoch that it starts.
    pub(super) epoch: u32,
    /// Its first record.
    pub(super) event: RecoveryEvent,
    /// The token that is made with it.
    pub(super) root_token: Option<TokenHash>,
}

/// A restore or a recovery that was cut short left less than a node behind.
pub(crate) fn check_finished(data: &Path) -> io::Result<()> {
    if data.join(RECOVERING).exists() {
        return Err(io::Error::other("a recovery of this node was cut short: run it again (holdfastd recover)"));
    }
    check_not_restoring(data)
}

/// Whether a restore was cut short here.
pub(super) fn check_not_restoring(data: &Path) -> io::Result<()> {
    if data.join(RESTORING).exists() {
        return Err(io::Error::other("a restore into this directory was cut short: run it again, or empty the directory"));
    }
    Ok(())
}

/// Whether a restore may write here: nothing has run here, or a restore was cut short.
pub(super) fn check_empty(disk: &dyn Disk, data: &Path) -> io::Result<()> {
    if data.join(bootstrap::FILE).exists() {
        return Err(io::Error::other(format!(
            "{} founds a new cluster: use a node that was added to a kit (holdfastd kit --add)",
            data.join(bootstrap::FILE).display()
        )));
    }
    if disk.exists(&data.join(RESTORING))? {
        return Ok(());
    }
    for part in PARTS {
        if data.join(part).exists() {
            return Err(io::Error::other(format!(
                "{} is there: a restore needs an empty data directory; set this one aside",
                data.join(part).display()
            )));
        }
    }
    Ok(())
}

/// Writes it all. Until the marker goes, as the last step, the node does not start. Says how many values of the state were gone.
pub(super) fn begin(beginning: &Beginning<'_>, folded: Folded, progress: Progress<'_>) -> io::Result<u64> {
    let data = &beginning.config.node.data;
    let disk = &*beginning.ambient.disk;
    storage::disk::replace(disk, &data.join(RESTORING), b"a restore writes here\n")?;
    for part in PARTS {
        remove(&data.join(part))?;
    }
    let state = folded.standing.state.in_epoch(beginning.epoch);
    let gone = write_snapshot(beginning, &data.join("snapshots"), folded, &state, progress)?;
    let first = codec::encode(Kind::Batch, &first_batch(beginning, &state, &gone)?);
    write_log(beginning, first)?;
    unmark(disk, data, RESTORING)?;
    Ok(gone.len() as u64)
}

/// As [`begin`], over the data of a node that goes on: its journal stays, its snapshots and log are set aside, in a directory beside them.
/// The old parts move only when the new snapshot is whole, and move back where this was cut short ([`undo`]).
pub(super) fn begin_over(beginning: &Beginning<'_>, folded: Folded, progress: Progress<'_>) -> io::Result<()> {
    let data = &beginning.config.node.data;
    let disk = &*beginning.ambient.disk;
    let aside = format!("{ASIDE}{}", beginning.epoch);
    storage::disk::replace(disk, &data.join(RECOVERING), aside.as_bytes())?;
    let state = folded.standing.state.in_epoch(beginning.epoch);
    let next = data.join(NEXT_SNAPSHOTS);
    remove(&next)?;
    let gone = write_snapshot(beginning, &next, folded, &state, progress)?;
    let first = codec::encode(Kind::Batch, &first_batch(beginning, &state, &gone)?);
    let aside = data.join(aside);
    disk.create_dir_all(&aside)?;
    for part in REPLACED.iter().filter(|part| data.join(part).exists()) {
        disk.rename(&data.join(part), &aside.join(part))?;
    }
    disk.sync_dir(&aside)?;
    disk.rename(&next, &data.join("snapshots"))?;
    disk.sync_dir(data)?;
    remove(&data.join("state"))?;
    write_log(beginning, first)?;
    unmark(disk, data, RECOVERING)
}

/// Whether a recovery was cut short here.
pub(super) fn is_cut_short(data: &Path) -> bool {
    data.join(RECOVERING).exists()
}

/// Takes back what a recovery did that was cut short, so that it can be begun again from what was there before.
pub(super) fn undo(disk: &dyn Disk, data: &Path) -> io::Result<()> {
    let marker = data.join(RECOVERING);
    if !marker.exists() {
        return Ok(());
    }
    let aside = std::fs::read_to_string(&marker)?;
    if !aside.starts_with(ASIDE) || aside.contains('/') {
        return Err(io::Error::other(format!("{} does not say where the old parts are: look for {ASIDE}*", marker.display())));
    }
    let aside = data.join(aside);
    for part in REPLACED.iter().filter(|part| aside.join(part).exists()) {
        remove(&data.join(part))?;
        disk.rename(&aside.join(part), &data.join(part))?;
    }
    remove(&data.join(NEXT_SNAPSHOTS))?;
    if aside.exists() {
        remove(&aside)?;
    }
    unmark(disk, data, RECOVERING)
}

fn unmark(disk: &dyn Disk, data: &Path, marker: &str) -> io::Result<()> {
    disk.remove(&data.join(marker))?;
    disk.sync_dir(data)
}

fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_log(beginning: &Beginning<'_>, first: Vec<u8>) -> io::Result<()> {
    let (wal, _) = open_wal(beginning.config, beginning.ambient, beginning.local).map_err(io::Error::other)?;
    let begun = raft::timeline::begin(&wal, &beginning.position, first.into());
    wal.close();
    begun
}

/// Says which values of the state are not there: a full snapshot lacks what was destroyed between its state and the reading of its values.
fn write_snapshot(
    beginning: &Beginning<'_>,
    directory: &Path,
    folded: Folded,
    state: &State,
    progress: Progress<'_>,
) -> io::Result<HashSet<ValueKey>> {
    let Folded { standing, mut spilled, full, brought: _brought, value_count } = folded;
    let ambient = beginning.ambient;
    ambient.disk.create_dir_all(directory)?;
    let path = snapshots::name(directory, state.revision().0);
    let header = header(beginning, state, &standing);
    let key = beginning.local.sealing.snapshot_key(header.key_version);
    let key = key.ok_or_else(|| io::Error::other(format!("version {} of the root key is not held", header.key_version)))?;
    let writer = SnapshotWriter::create(ambient.disk.clone(), &path, &header, &key, ambient.entropy.clone());
    let mut writer = writer.map_err(io::Error::other)?;
    writer.push(&Record::Chain(standing.chain).encode()).map_err(io::Error::other)?;
    for piece in state.pieces() {
        writer.push(&Record::Piece(piece).encode()).map_err(io::Error::other)?;
    }
    // Only where increments ran may the full snapshot hold values that are gone.
    let is_moved = full.as_ref().is_none_or(|(full, _)| standing.point() != full.header().at);
    let wanted: Option<HashSet<ValueKey>> = (!spilled.is_empty() || is_moved).then(|| values_in(state).collect());
    let is_wanted = |key: &ValueKey| wanted.as_ref().is_none_or(|wanted| wanted.contains(key));
    let mut written = 0;
    let mut push = |writer: &mut SnapshotWriter, record: Record| {
        written += 1;
        if written % PROGRESS_VALUES == 0 {
            progress("writing", written, value_count);
        }
        writer.push(&record.encode()).map_err(io::Error::other)
    };
    if let Some((full, _)) = &full {
        Standing::read_values(full, |environment, key, payload| {
            if spilled.holds(key) || !is_wanted(&key) {
                return Ok(());
            }
            push(&mut writer, Record::Value(environment, key, payload))
        })?;
    }
    spilled.each(
        |environment, key, payload| {
            if is_wanted(&key) { push(&mut writer, Record::Value(environment.clone(), key, payload)) } else { Ok(()) }
        },
    )?;
    let mut gone = HashSet::new();
    if written < value_count {
        gone = values_in(state).filter(|key| !spilled.holds(*key)).collect();
        if let Some((full, _)) = &full {
            Standing::read_values(full, |_, key, _| {
                gone.remove(&key);
                Ok(())
            })?;
        }
    }
    if written + gone.len() as u64 != value_count {
        return Err(io::Error::other(format!("the state has {value_count} values, the snapshots hold {written} of them")));
    }
    writer.finish(&beginning.local.sealing.signer()).map_err(io::Error::other)?;
    Ok(gone)
}

/// That values are not there is on the journal, as it was on that of the old cluster.
fn destroyed<'a>(state: &'a State, gone: &'a HashSet<ValueKey>) -> impl Iterator<Item = Event> + 'a {
    let secrets = state.environments().flat_map(|home| home.secrets.values().map(|secret| (&home.about.name, secret)));
    secrets.filter(|_| !gone.is_empty()).filter_map(|(environment, secret)| {
        let versions: Vec<u64> = values_of(secret).filter(|key| gone.contains(key)).map(|(_, version)| version).collect();
        (!versions.is_empty()).then(|| Event::SecretVersionsDestroyed {
            environment: environment.clone(),
            path: secret.path.clone(),
            secret: secret.id,
            versions,
        })
    })
}

fn header(beginning: &Beginning<'_>, state: &State, standing: &Standing) -> SnapshotHeader {
    SnapshotHeader {
        cluster: *state.cluster(),
        epoch: state.epoch(),
        created_ms: beginning.ambient.clock.now().as_ms(),
        key_version: state.keys().root(),
        contents: Contents::Full,
        at: standing.point(),
        secrets: state.secret_count(),
        position: beginning.position.clone(),
    }
}

/// The first record, the root token, what is `gone`, and the alert that the cluster came back.
fn first_batch(beginning: &Beginning<'_>, state: &State, gone: &HashSet<ValueKey>) -> io::Result<Batch> {
    let stamp = beginning.ambient.clock.now().max(node_domain::ids::Stamp(state.stamp().0 + 1));
    let founder = || PrincipalName::parse(node_domain::decide::FOUNDER).map_err(|error| io::Error::other(error.to_string()));
    let mut events = vec![Event::Recovery(beginning.event.clone())];
    if let Some(hash) = beginning.root_token {
        events.push(Event::TokenCreated { token: Box::new(root_token(hash, stamp, founder()?)?) });
    }
    events.extend(destroyed(state, gone));
    let (at, epoch) = (state.revision().0, state.epoch());
    let (text, door) = match &beginning.event {
        RecoveryEvent::Recovered(recovered) => {
            let node = recovered.node;
            (
                format!("node {node} went on alone at record {at} after a majority was lost: a new epoch, {epoch}, begins"),
                "recover",
            )
        }
        _ => (format!("the cluster came back at record {at}: a new epoch, {epoch}, begins"), "restore"),
    };
    let subject = format!("epoch {}", state.epoch());
    events.extend(notice::alert(state, AlertKind::Recovery, Severity::Critical, &subject, text));
    let decision = Decision {
        stamp,
        actor: Some(founder()?),
        accessor: None,
        policies: state.policies_changed(),
        request: random(&*beginning.ambient.entropy),
        fingerprint: 0,
        source: format!("{}/{door}", beginning.config.node.id),
        events,
    };
    // What does not fit would stop every node of the new cluster.
    state.clone().apply(&decision).map_err(|misfit| io::Error::other(misfit.to_string()))?;
    Ok(Batch { based_on: state.revision(), decisions: vec![decision] })
}

fn root_token(hash: TokenHash, created: node_domain::ids::Stamp, created_by: PrincipalName) -> io::Result<Token> {
    let bad = |error: node_domain::ids::BadName| io::Error::other(error.to_string());
    Ok(Token {
        accessor: Accessor::of(&hash),
        hash,
        principal: PrincipalName::parse("root").map_err(bad)?,
        policies: vec![PolicyName::parse(ROOT).map_err(bad)?],
        roles: Vec::new(),
        created,
        created_by,
        login: Login::Founding,
        mfa: false,
        expires: None,
        terms: Terms::default(),
    })
}
