//! A snapshot that is saved while everything goes on, verified, and restored beside the cluster, by the programs that operators use.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::StreamExt;
use proto_client::v1;
use serde::Deserialize;

use super::{Blow, Scene};
use crate::{
    ending::hex,
    shell,
    stage::{Stage, means::command_line},
    trouble::Trouble,
};

/// What must come out well.
const PROMISE: &str =
    "a snapshot that was saved under way verifies, and comes back with the chain of its record and the state that it names";
/// A number that no cluster gives its nodes.
const SCRATCH_ID: u64 = 1 << 40;
/// What lies in the directory of one snapshot.
const SET: &str = "backups";
const KIT: &str = "kit";
/// How long one of the programs may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long it may take until a node can say what the journal has at a record.
const JOURNAL: Duration = Duration::from_secs(60);
const ASKED: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Saves, verifies and restores. A save that is refused is a miss: others strike. What was saved has to come back.
pub(super) async fn save_and_restore(scene: &Scene) -> Result<Blow, Trouble> {
    let desk = Desk::new(scene.stage()?, scene.recorder.now_ms())?;
    let began = Instant::now();
    let brought = match desk.save().await {
        Ok(saved) => desk.bring_back(scene, &saved).await.map(|brought| (saved.revision, brought)),
        Err(trouble) => Err(trouble),
    };
    // What is wrong is left to be looked at.
    if !matches!(brought, Ok((_, Err(_)))) {
        desk.clear()?;
    }
    let (revision, brought) = brought?;
    scene.tried(PROMISE, brought.as_ref().err().cloned());
    let took = began.elapsed().as_millis();
    let told = |Came { secrets, values, .. }| {
        format!("{secrets} secrets and {values} values, saved, verified and restored in {took} ms")
    };
    Ok(Blow::of(format!("record {revision}"), brought.map_or_else(|flaw| flaw, told)))
}

/// What `holdfast snapshot save` says.
#[derive(Debug, Deserialize)]
struct Saved {
    snapshot: Entry,
}

/// What was saved.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Entry {
    revision: u64,
    chain: String,
    state_digest: String,
}

/// What `holdfastd restore` says came back.
#[derive(Debug, Deserialize)]
struct Came {
    revision: u64,
    chain: String,
    state_digest: String,
    secrets: u64,
    values: u64,
}

/// Where one snapshot is put, and brought back.
struct Desk<'a> {
    stage: &'a Stage,
    directory: PathBuf,
}

impl Desk<'_> {
    fn new(stage: &Stage, at_ms: u64) -> Result<Desk<'_>, Trouble> {
        let directory = stage.aside(&format!("save-and-restore-{at_ms}"));
        std::fs::create_dir(&directory).map_err(Trouble::io("make", &directory))?;
        Ok(Desk { stage, directory })
    }

    fn clear(&self) -> Result<(), Trouble> {
        std::fs::remove_dir_all(&self.directory).map_err(Trouble::io("remove", &self.directory))
    }

    /// Where something of it lies, as a word of a command.
    fn at(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    async fn save(&self) -> Result<Entry, Trouble> {
        let said = self.holdfast(&["snapshot", "save", "-o", "json", "--to", &self.at(SET)]).await?;
        read::<Saved>("holdfast snapshot save", &said).map(|saved| saved.snapshot)
    }

    /// What came back of it; or what is wrong with it. Trouble only where nothing can be said.
    async fn bring_back(&self, scene: &Scene, saved: &Entry) -> Result<Result<Came, String>, Trouble> {
        if let Err(trouble) = self.verify().await {
            return Ok(Err(format!("it was saved, but does not verify: {trouble}")));
        }
        self.lay_out().await?;
        let came = match self.restore().await {
            Ok(came) => came,
            Err(trouble) => return Ok(Err(format!("it verifies, but does not come back: {trouble}"))),
        };
        if let Some(flaw) = differs(saved, &came) {
            return Ok(Err(flaw));
        }
        let chain = chain_at(scene, saved.revision).await?;
        if chain != came.chain {
            return Ok(Err(format!("it came back with chain {}, the journal has {chain} at its record", came.chain)));
        }
        Ok(Ok(came))
    }

    /// Opens everything with the cluster's keys.
    async fn verify(&self) -> Result<(), Trouble> {
        let key = |name: &str| self.stage.seal().join(name).display().to_string();
        let (file, opens) = (key("seal.json"), key("seal.key"));
        let verify = ["snapshot", "verify", &self.at(SET), "--seal-file", &file, "--seal-key-file", &opens];
        self.holdfast(&verify).await.map(drop)
    }

    /// One new node around the cluster's seal. It is never started: where it would listen does not matter.
    async fn lay_out(&self) -> Result<(), Trouble> {
        let seal = self.stage.seal().display().to_string();
        let node = format!("id={SCRATCH_ID},zone=scratch,client=127.0.0.1:7100,peer=127.0.0.1:7200");
        self.holdfastd(&["kit", "--out", &self.at(KIT), "--around", &seal, "--node", &node]).await.map(drop)
    }

    async fn restore(&self) -> Result<Came, Trouble> {
        let (kit, token) = (self.at(KIT), self.at("root-token"));
        let config = self.at(&format!("{KIT}/node{SCRATCH_ID}/holdfast.toml"));
        let from = ["restore", "--json", "--from", &self.at(SET)];
        let to = ["--config", &config, "--kit", &kit, "--token-file", &token];
        let said = self.holdfastd(&[&from[..], &to[..]].concat()).await?;
        read("holdfastd restore", &said)
    }

    /// The command line, for this cluster.
    async fn holdfast(&self, arguments: &[&str]) -> Result<String, Trouble> {
        let settings = format!("HOLDFAST_CONFIG={}", self.stage.client_toml().display());
        let program = command_line(&self.stage.binary).display().to_string();
        in_time(shell::run("env", [settings.as_str(), &program].iter().chain(arguments))).await
    }

    /// The server's program.
    async fn holdfastd(&self, arguments: &[&str]) -> Result<String, Trouble> {
        in_time(shell::run(&self.stage.binary.display().to_string(), arguments)).await
    }
}

async fn in_time(ran: impl Future<Output = Result<String, Trouble>>) -> Result<String, Trouble> {
    let late = |_| Trouble::unusable("a program", format!("it did not end within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, ran).await.map_err(late)?
}

fn read<T: for<'a> Deserialize<'a>>(program: &str, said: &str) -> Result<T, Trouble> {
    serde_json::from_str(said).map_err(|error| Trouble::unusable(program, format!("it says what cannot be read: {error}")))
}

/// What came back otherwise than it was saved.
fn differs(saved: &Entry, came: &Came) -> Option<String> {
    let back = Entry { revision: came.revision, chain: came.chain.clone(), state_digest: came.state_digest.clone() };
    (back != *saved).then(|| format!("{saved:?} was saved, and came back as {back:?}"))
}

/// The journal's chain at a record, from the first node that has it.
async fn chain_at(scene: &Scene, record: u64) -> Result<String, Trouble> {
    let deadline = Instant::now() + JOURNAL;
    loop {
        for (_, client) in scene.client.each_node() {
            let request = v1::ExportRequest { from_seq: record, to_seq: record };
            let Ok(mut records) = client.with_timeout(ASKED).audit().export(request).await else { continue };
            if let Some(Ok(exported)) = records.next().await
                && exported.seq == record
            {
                return Ok(hex(&exported.chain));
            }
        }
        if Instant::now() > deadline {
            return Err(Trouble::unusable(format!("record {record}"), "no node said what the journal's chain is at it"));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_otherwise_than_it_was_saved_is_told() {
        let saved = Entry { revision: 7, chain: "c7".into(), state_digest: "d7".into() };
        let came = |revision: u64, chain: &str, digest: &str| Came {
            revision,
            chain: chain.into(),
            state_digest: digest.into(),
            secrets: 1,
            values: 1,
        };
        assert_eq!(differs(&saved, &came(7, "c7", "d7")), None);
        for other in [came(6, "c7", "d7"), came(7, "c6", "d7"), came(7, "c7", "d6")] {
            assert!(differs(&saved, &other).unwrap().contains("came back as"), "{other:?}");
        }
    }

    #[test]
    fn what_the_programs_say_is_read() {
        let saved =
            r#"{"place": "p", "note": "", "snapshot": {"file": "f", "revision": 7, "chain": "c7", "state_digest": "d7"}}"#;
        assert_eq!(read::<Saved>("save", saved).unwrap().snapshot.revision, 7);
        assert!(read::<Came>("restore", "restored").unwrap_err().to_string().starts_with("restore: it says"));
    }
}
