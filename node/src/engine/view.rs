//! What readers see: the applied state, published after each run of applied entries.

use arc_swap::ArcSwap;
use node_domain::State;
use proto_record::chain::Link;
use std::sync::Arc;
use tokio::sync::watch;

/// One applied state with the chain at its revision.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The state.
    pub(crate) state: State,
    /// The journal's chain after the state's newest record.
    pub(crate) chain: Link,
}

/// The newest view, and the way to wait for a newer one.
#[derive(Debug)]
pub(crate) struct Published {
    view: ArcSwap<View>,
    revision: watch::Sender<u64>,
}

impl Published {
    pub(crate) fn new(view: View) -> Published {
        let (revision, _) = watch::channel(view.state.revision().0);
        Published { view: ArcSwap::from_pointee(view), revision }
    }

    /// The newest view. Cheap; hold it for one request at most, it keeps old state alive.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn publish(&self, view: View) {
        let revision = view.state.revision().0;
        self.view.store(Arc::new(view));
        self.revision.send_replace(revision);
    }

    /// The newest published revision, as it moves.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// The first view at or after `revision`.
    pub(crate) async fn at(&self, revision: u64) -> Arc<View> {
        let view = self.view();
        if view.state.revision().0 >= revision {
            return view;
        }
        let mut watch = self.revision.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = watch.wait_for(|published| *published >= revision).await;
        self.view()
    }
}
