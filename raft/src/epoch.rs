//! Which timeline a node's data belongs to. A restore starts a new one, and what is left of an older one must not mix with it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// The epoch of a node's data as it is now; 0 while it has none. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<AtomicU32>);

impl Epoch {
    /// The epoch of data that is there.
    #[must_use]
    pub fn new(epoch: u32) -> Epoch {
        Epoch(Arc::new(AtomicU32::new(epoch)))
    }

    /// The data is of this epoch from now on.
    pub fn set(&self, epoch: u32) {
        self.0.store(epoch, Ordering::Release);
    }

    /// The epoch, 0 where there is no data.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether a message from data of epoch `theirs` may be listened to. Whoever has no data belongs to every epoch.
    ///
    /// # Errors
    /// The refusal, in words for the operator of whichever of the two was left behind.
    pub fn admit(&self, sender: u64, theirs: u32) -> Result<(), String> {
        let ours = self.get();
        if ours == 0 || theirs == 0 || ours == theirs {
            return Ok(());
        }
        let (left_behind, older, newer) =
            if theirs < ours { (format!("node {sender}"), theirs, ours) } else { ("this node".to_owned(), ours, theirs) };
        Err(format!(
            "{left_behind} holds data of epoch {older}, and the cluster was restored since: it is at epoch {newer}; set that data aside \
             and let the node join under a new number"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_two_epochs_does_not_mix_and_who_has_none_belongs_everywhere() {
        let epoch = Epoch::new(2);
        for welcome in [0, 2] {
            epoch.admit(3, welcome).unwrap();
        }
        assert!(epoch.admit(3, 1).unwrap_err().starts_with("node 3 holds data of epoch 1"));
        assert!(epoch.admit(3, 4).unwrap_err().starts_with("this node holds data of epoch 2"));
        let empty = Epoch::default();
        empty.admit(3, 7).unwrap();
        empty.set(7);
        assert!(empty.admit(3, 6).is_err());
    }
}
