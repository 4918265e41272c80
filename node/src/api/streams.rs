//! How many streams one principal holds open on this node: watches, tails of the journal, reads over a stream.
//!
//! A stream costs memory and, for a watch, a look at every record, for as long as it lives: rates of requests do not bound it.

use crate::api::door::Caller;
use crate::api::throttle::Whose;
use crate::config::LimitsConfig;
use crate::engine::View;
use node_domain::Rejection;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The open streams of one node, by whose they are.
#[derive(Clone)]
pub(crate) struct Streams {
    most: u32,
    open: Arc<Mutex<HashMap<Whose, u32>>>,
}

/// One open stream; it is counted until this is dropped.
pub(crate) struct OpenStream {
    whose: Whose,
    open: Arc<Mutex<HashMap<Whose, u32>>>,
}

impl Streams {
    pub(crate) fn new(limits: &LimitsConfig) -> Streams {
        Streams { most: limits.streams_per_principal, open: Arc::default() }
    }

    /// Counts one more stream of the caller, or refuses it.
    pub(crate) fn open(&self, view: &View, caller: &Caller) -> Result<OpenStream, Rejection> {
        self.open_of(Whose::of(view, caller))
    }

    fn open_of(&self, whose: Whose) -> Result<OpenStream, Rejection> {
        let mut open = self.open.lock();
        let count = open.get(&whose).copied().unwrap_or(0);
        if count >= self.most {
            metrics::counter!("holdfast_streams_refused_total").increment(1);
            return Err(Rejection::Limit(format!(
                "{} has {count} open streams on this node already: end one, ask another node, or raise limits.streams_per_principal",
                whose.name()
            )));
        }
        open.insert(whose.clone(), count + 1);
        drop(open);
        Ok(OpenStream { whose, open: self.open.clone() })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        // Nothing is kept of who has no stream: names and addresses come and go.
        match open.get_mut(&self.whose) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.whose)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_domain::ids::PrincipalName;

    fn principal(name: &str) -> Whose {
        Whose::Principal(PrincipalName::parse(name).unwrap())
    }

    #[test]
    fn a_principal_has_so_many_streams_and_room_again_when_one_ends() {
        let streams = Streams::new(&LimitsConfig { streams_per_principal: 2, ..LimitsConfig::default() });
        let first = streams.open_of(principal("ana")).ok().unwrap();
        let _second = streams.open_of(principal("ana")).ok().unwrap();
        let refused = streams.open_of(principal("ana")).err().unwrap();
        assert!(refused.to_string().starts_with("ana has 2 open streams on this node already: end one"), "{refused}");
        assert!(streams.open_of(principal("bob")).is_ok(), "others have their own");
        drop(first);
        assert!(streams.open_of(principal("ana")).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_who_has_no_stream() {
        let streams = Streams::new(&LimitsConfig::default());
        drop((streams.open_of(principal("ana")).ok(), streams.open_of(Whose::Address(None)).ok()));
        assert!(streams.open.lock().is_empty());
    }
}
