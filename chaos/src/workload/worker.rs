//! One client: asks one thing after the other, and knows what it was told last.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chaos_history::{Call, Expect, Operation, Outcome};
use futures::future::join_all;
use proto_client::{Client, ClientError, ReadStream, v1};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use tonic::Code;
use uuid::Uuid;

use super::{Keys, outcome, pace::Pace};
use crate::recorder::Recorder;

/// Secrets read by one call for many.
const MANY: usize = 4;
/// Reads under way on one stream.
const STREAM_WINDOW: usize = 6;
/// A stream is used so often before another is opened.
const STREAM_USES_MAX: u32 = 40;

pub(super) struct Worker {
    pub(super) number: u32,
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) recorder: Recorder,
    pub(super) chance: ChaCha8Rng,
    pub(super) value_bytes_max: usize,
    pub(super) pace: Arc<Pace>,
    pub(super) stop: Arc<AtomicBool>,
    /// Values made so far: each has a number of its own.
    pub(super) values: u64,
    /// The newest versions that this client was told of.
    pub(super) known: HashMap<String, u64>,
    pub(super) stream: Option<(ReadStream, u32)>,
}

/// An operation that has left.
struct Asked {
    /// Nil on a stream.
    request: Uuid,
    called_ns: u64,
}

/// What came of it.
struct Told {
    outcome: Outcome,
    /// The record that the answer names.
    record: Option<u64>,
    words: String,
}

impl Told {
    fn at(record: u64, outcome: Outcome) -> Told {
        Told { outcome, record: Some(record), words: String::new() }
    }

    fn found(answer: &v1::GetResponse) -> Told {
        Told::at(answer.index, outcome::found(answer))
    }
}

impl Worker {
    pub(super) async fn run(mut self) {
        let mut folder = String::new();
        while !self.stop.load(Ordering::Relaxed) {
            self.pace.turn().await;
            let now_ms = self.recorder.now_ms();
            if folder != self.keys.folder(now_ms) {
                folder = self.keys.folder(now_ms);
                self.known.clear();
            }
            let keys = self.keys.in_use(now_ms);
            match self.chance.random_range(0..100) {
                0..20 => self.put(&keys, Expect::Anything).await,
                20..42 => self.put_if(&keys).await,
                42..46 => self.put(&keys, Expect::Absent).await,
                46..51 => self.delete(&keys).await,
                51..78 => self.get(&keys).await,
                78..86 => self.get_many(&keys).await,
                86..90 => self.list(&folder, &keys).await,
                _ => self.read_on_stream(&keys).await,
            }
        }
    }

    fn ask(&self) -> Asked {
        Asked { request: Uuid::new_v4(), called_ns: self.recorder.now_ns() }
    }

    fn pick(&mut self, keys: &[String]) -> String {
        keys.choose(&mut self.chance).cloned().unwrap_or_default()
    }

    fn tell(&mut self, asked: &Asked, key: &str, call: Call, told: Told) {
        let Told { outcome, record, words } = told;
        if let Outcome::Written { version } | Outcome::Found { version, .. } | Outcome::Refused { found: Some(version) } = outcome
        {
            self.known.insert(key.to_owned(), version);
        }
        self.recorder.record(Operation {
            client: self.number,
            request: asked.request,
            record,
            called_ns: asked.called_ns,
            returned_ns: self.recorder.now_ns(),
            key: key.to_owned(),
            call,
            outcome,
            words,
        });
    }

    fn tell_failure(&mut self, asked: &Asked, key: &str, call: Call, error: &ClientError) {
        self.tell(asked, key, call, Told { outcome: outcome::failed(error, key), record: None, words: error.to_string() });
    }

    /// Mostly over what this client knows to be the newest, so that many win and many lose.
    async fn put_if(&mut self, keys: &[String]) {
        let key = self.pick(keys);
        let expect = Expect::Version(self.known.get(&key).copied().unwrap_or(0));
        self.put_to(key, expect).await;
    }

    async fn put(&mut self, keys: &[String], expect: Expect) {
        let key = self.pick(keys);
        self.put_to(key, expect).await;
    }

    async fn put_to(&mut self, key: String, expect: Expect) {
        self.values += 1;
        let name = format!("c{}-{}", self.number, self.values);
        let bytes = outcome::value(&name, self.chance.random_range(0..=self.value_bytes_max));
        let kind = match expect {
            Expect::Anything => None,
            Expect::Absent => Some(v1::expectation::Kind::Absent(true)),
            Expect::Version(version) => Some(v1::expectation::Kind::Version(version)),
        };
        let request = v1::PutRequest {
            environment: self.keys.environment.clone(),
            path: key.clone(),
            value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(bytes.into())) }),
            expect: kind.map(|kind| v1::Expectation { kind: Some(kind) }),
            metadata: None,
        };
        let (asked, call) = (self.ask(), Call::Put { value: name, expect });
        match self.client.with_request_id(asked.request).secrets().put(request).await {
            Ok(answer) => self.tell(&asked, &key, call, Told::at(answer.index, Outcome::Written { version: answer.version })),
            Err(error) => self.tell_failure(&asked, &key, call, &error),
        }
    }

    async fn delete(&mut self, keys: &[String]) {
        let key = self.pick(keys);
        let environment = self.keys.environment.clone();
        let request = v1::VersionsRequest { environment, path: key.clone(), versions: Vec::new(), all: false };
        let asked = self.ask();
        match self.client.with_request_id(asked.request).secrets().delete(request).await {
            Ok(answer) => {
                let version = answer.versions.last().copied().unwrap_or(0);
                self.tell(&asked, &key, Call::Delete, Told::at(answer.index, Outcome::Hidden { version }));
            }
            Err(error) => self.tell_failure(&asked, &key, Call::Delete, &error),
        }
    }

    fn question(&self, key: &str) -> v1::GetRequest {
        v1::GetRequest { environment: self.keys.environment.clone(), path: key.to_owned(), version: 0 }
    }

    async fn get(&mut self, keys: &[String]) {
        let key = self.pick(keys);
        let asked = self.ask();
        match self.client.with_request_id(asked.request).secrets().get(self.question(&key)).await {
            Ok(answer) => self.tell(&asked, &key, Call::Get, Told::found(&answer)),
            Err(error) => self.tell_failure(&asked, &key, Call::Get, &error),
        }
    }

    async fn get_many(&mut self, keys: &[String]) {
        let chosen: Vec<String> = keys.sample(&mut self.chance, MANY.min(keys.len())).cloned().collect();
        let items = chosen.iter().map(|key| v1::GetManyItem { path: key.clone(), version: 0 }).collect();
        let request = v1::GetManyRequest { environment: self.keys.environment.clone(), items };
        let asked = self.ask();
        match self.client.with_request_id(asked.request).secrets().get_many(request).await {
            Ok(answer) => {
                for (key, result) in chosen.iter().zip(answer.results) {
                    let told = match result.result {
                        Some(v1::get_many_result::Result::Found(found)) => Told::found(&found),
                        Some(v1::get_many_result::Result::Refused(refusal)) => {
                            let outcome = outcome::refused(Code::from(refusal.code), &refusal.message, key);
                            Told { outcome, record: None, words: refusal.message }
                        }
                        None => Told { outcome: Outcome::NotDone, record: None, words: "answered with nothing".to_owned() },
                    };
                    self.tell(&asked, key, Call::Get, told);
                }
            }
            Err(error) => {
                for key in &chosen {
                    self.tell_failure(&asked, key, Call::Get, &error);
                }
            }
        }
    }

    async fn list(&mut self, folder: &str, keys: &[String]) {
        let request = v1::ListRequest {
            environment: self.keys.environment.clone(),
            prefix: folder.to_owned(),
            recursive: true,
            limit: 0,
            cursor: String::new(),
            include_deleted: true,
        };
        let asked = self.ask();
        match self.client.with_request_id(asked.request).secrets().list(request).await {
            // A page that is not the last says nothing of what is not on it.
            Ok(answer) if !answer.next_cursor.is_empty() => {}
            Ok(answer) => {
                let listed: HashMap<String, v1::SecretSummary> =
                    answer.entries.into_iter().filter_map(|entry| Some((entry.path, entry.secret?))).collect();
                for key in keys {
                    let outcome = listed.get(key).map_or(Outcome::Seen { version: 0, live: false }, |secret| Outcome::Seen {
                        version: secret.newest_version,
                        live: !secret.deleted,
                    });
                    self.tell(&asked, key, Call::Look, Told::at(answer.index, outcome));
                }
            }
            Err(error) => self.tell_failure(&asked, folder, Call::Look, &error),
        }
    }

    async fn read_on_stream(&mut self, keys: &[String]) {
        let (stream, uses) = match self.stream.take() {
            Some(open) => open,
            None => match self.client.secrets().get_stream(STREAM_WINDOW).await {
                Ok(stream) => (stream, 0),
                Err(_) => return,
            },
        };
        let chosen: Vec<String> = keys.sample(&mut self.chance, STREAM_WINDOW.min(keys.len())).cloned().collect();
        let asked = Asked { request: Uuid::nil(), called_ns: self.recorder.now_ns() };
        let answers = join_all(chosen.iter().map(|key| stream.read(self.question(key)))).await;
        let mut broken = false;
        for (key, answer) in chosen.iter().zip(answers) {
            match answer {
                Ok(answer) => self.tell(&asked, key, Call::Get, Told::found(&answer)),
                Err(error) => {
                    broken |= matches!(error.code, Code::Unavailable | Code::DeadlineExceeded);
                    self.tell_failure(&asked, key, Call::Get, &error);
                }
            }
        }
        if !broken && uses < STREAM_USES_MAX {
            self.stream = Some((stream, uses + 1));
        }
    }
}
