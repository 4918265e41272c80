//! What recent request ids led to, so that a request asked twice is done once.

use crate::ids::{PrincipalName, RequestId, Revision, Stamp};
use crate::limits;
use imbl::{HashMap, Vector};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What one request id led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The request id.
    pub request: RequestId,
    /// Who asked.
    pub actor: PrincipalName,
    /// Keyed hash of the request's content.
    pub fingerprint: u64,
    /// Its last record.
    pub index: Revision,
    /// When.
    pub stamp: Stamp,
    /// The versions that it made or changed, in order, each with its expiry.
    pub versions: Vec<(u64, Option<Stamp>)>,
}

/// The newest receipts, bounded by number and by age.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    by_request: HashMap<RequestId, Arc<Receipt>>,
    order: Vector<RequestId>,
}

impl Receipts {
    /// What this request id led to.
    #[must_use]
    pub fn find(&self, request: &RequestId) -> Option<&Receipt> {
        self.by_request.get(request).map(|receipt| &**receipt)
    }

    /// Remembers a receipt and forgets those beyond the bounds.
    pub(crate) fn remember(&mut self, receipt: Receipt) {
        let now = receipt.stamp;
        self.order.push_back(receipt.request);
        self.by_request.insert(receipt.request, Arc::new(receipt));
        while let Some(request) = self.order.front().copied() {
            let oldest = self.by_request.get(&request);
            let aged = oldest.is_none_or(|oldest| now.0.saturating_sub(oldest.stamp.0) > limits::RECEIPT_AGE_US_MAX);
            if !aged && self.order.len() <= limits::RECEIPTS_MAX {
                break;
            }
            self.order.pop_front();
            self.by_request.remove(&request);
        }
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Receipt> {
        self.order.iter().filter_map(|request| self.find(request))
    }
}
