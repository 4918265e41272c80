//! Sealed values that came with increments: on disk, with an index in memory.

use crate::engine::values::ValueKey;
use node_domain::Event;
use node_domain::ids::EnvironmentName;
use node_domain::keys::KeysEvent;
use node_domain::sealed::Payload;
use proto_record::codec::{self, Kind};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

/// Values in a file that goes with it.
pub(super) struct Spilled {
    file: BufWriter<File>,
    bytes: u64,
    places: HashMap<ValueKey, Place>,
}

struct Place {
    environment: EnvironmentName,
    offset: u64,
    len: usize,
}

impl Spilled {
    pub(super) fn new() -> io::Result<Spilled> {
        Ok(Spilled { file: BufWriter::new(tempfile::tempfile()?), bytes: 0, places: HashMap::new() })
    }

    /// Keeps the values that an event brings; a later one of the same version takes the place of an earlier one.
    pub(super) fn keep(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::SecretVersionAdded { environment, secret, version, sealed, .. } => {
                sealed.payload.as_ref().map_or(Ok(()), |payload| self.add(environment, (*secret, *version), payload))
            }
            Event::Keys(KeysEvent::Rewrapped { environment, items }) => items.iter().try_for_each(|item| {
                let payload = item.sealed.payload.as_ref();
                payload.map_or(Ok(()), |payload| self.add(environment, (item.secret, item.version), payload))
            }),
            _ => Ok(()),
        }
    }

    fn add(&mut self, environment: &EnvironmentName, key: ValueKey, payload: &Payload) -> io::Result<()> {
        let bytes = codec::encode(Kind::Row, payload);
        self.file.write_all(&bytes)?;
        let place = Place { environment: environment.clone(), offset: self.bytes, len: bytes.len() };
        self.places.insert(key, place);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn holds(&self, key: ValueKey) -> bool {
        self.places.contains_key(&key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Every value, in no order.
    pub(super) fn each(&mut self, mut take: impl FnMut(&EnvironmentName, ValueKey, Payload) -> io::Result<()>) -> io::Result<()> {
        self.file.flush()?;
        for (key, place) in &self.places {
            let mut bytes = vec![0; place.len];
            self.file.get_ref().read_exact_at(&mut bytes, place.offset)?;
            take(&place.environment, *key, codec::decode(Kind::Row, &bytes)?)?;
        }
        Ok(())
    }
}
