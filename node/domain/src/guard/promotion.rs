//! Promotions: which versions of one environment become versions of another, who asked for it, and who said yes.

use crate::ids::{EnvironmentName, PrincipalName, SecretPath, Stamp};
use crate::limits;
use crate::state::{At, Digest};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const ROW: u8 = 68;
const MAKERS_ROW: u8 = 72;

/// What a plan would do to one secret, without anything of its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionItem {
    /// Where the value stands.
    pub from: SecretPath,
    /// Which version of it.
    pub from_version: u64,
    /// Where it goes.
    pub to: SecretPath,
    /// The newest version there, 0 where nothing stands.
    pub to_version: u64,
    /// What changes.
    pub difference: Difference,
}

impl PromotionItem {
    /// Whether applying the plan adds a version there.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.difference.kind != DifferenceKind::Same
    }
}

/// How two values differ, as far as may be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Nothing stands there yet, the values differ, or they are the same.
    pub kind: DifferenceKind,
    /// Bytes of the value that comes.
    pub from_bytes: u32,
    /// Bytes of the value that stands there.
    pub to_bytes: u32,
    /// Names of fields that only the new value has, as many as are kept.
    pub added: Vec<String>,
    /// Names of fields that only the old value has.
    pub removed: Vec<String>,
    /// Names of fields that differ.
    pub changed: Vec<String>,
}

/// The coarsest way to say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DifferenceKind {
    /// Nothing stands there yet.
    #[default]
    New,
    /// The values differ.
    Changed,
    /// They are the same: applying the plan leaves it alone.
    Same,
}

impl DifferenceKind {
    /// The word people read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            DifferenceKind::New => "new",
            DifferenceKind::Changed => "changed",
            DifferenceKind::Same => "same",
        }
    }
}

/// Where a plan stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum PromotionState {
    Open,
    /// With the new versions, in the order of the items; 0 for one that was the same already.
    Applied {
        by: PrincipalName,
        versions: Vec<u64>,
    },
    Rejected {
        by: PrincipalName,
        reason: String,
    },
    Cancelled,
}

/// One plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Number of the record that made it.
    pub id: u64,
    /// Where values come from.
    pub from: EnvironmentName,
    /// Where they go.
    pub to: EnvironmentName,
    /// Invariant: 1 to `limits::PROMOTION_ITEMS_MAX`, no target twice.
    pub items: Vec<PromotionItem>,
    /// Who asked for it.
    pub requested_by: PrincipalName,
    /// When.
    pub created: Stamp,
    /// Who said yes. Invariant: nobody twice, never who asked.
    pub approved_by: Vec<PrincipalName>,
    /// Where it stands.
    pub state: PromotionState,
}

impl Promotion {
    /// From when on it counts no more.
    #[must_use]
    pub fn expires(&self) -> Stamp {
        self.created.plus_ms(limits::PROMOTION_AGE_MS_MAX)
    }

    /// Whether something can still come of it.
    #[must_use]
    pub fn is_open(&self, now: Stamp) -> bool {
        self.state == PromotionState::Open && now < self.expires()
    }

    /// Where it stands, in a word.
    #[must_use]
    pub fn word(&self, needed: u32, now: Stamp) -> &'static str {
        match self.state {
            PromotionState::Applied { .. } => "applied",
            PromotionState::Rejected { .. } => "rejected",
            PromotionState::Cancelled => "cancelled",
            PromotionState::Open if now >= self.expires() => "expired",
            PromotionState::Open if self.approved_by.len() >= needed as usize => "approved",
            PromotionState::Open => "open",
        }
    }

    /// Items that applying the plan writes.
    pub fn writing(&self) -> impl Iterator<Item = &PromotionItem> {
        self.items.iter().filter(|item| item.is_written())
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        let names = |item: &PromotionItem| {
            let difference = &item.difference;
            let fields = difference.added.iter().chain(&difference.removed).chain(&difference.changed);
            fields.map(|field| field.len() + 4).sum::<usize>()
        };
        self.items.iter().map(|item| item.from.as_str().len() + item.to.as_str().len() + 64 + names(item)).sum()
    }
}

/// All plans that are remembered, by id. Invariant: at most `limits::PROMOTIONS_MAX`.
#[derive(Clone, Debug, Default)]
pub struct Promotions {
    plans: OrdMap<u64, Arc<Promotion>>,
    /// Who made the tokens that plans were asked for with. Invariant: only of plans that are remembered.
    makers: OrdMap<u64, Arc<Vec<PrincipalName>>>,
}

impl Promotions {
    /// The plan with this id.
    #[must_use]
    pub fn plan(&self, id: u64) -> Option<&Arc<Promotion>> {
        self.plans.get(&id)
    }

    /// All of them, oldest first.
    pub fn plans(&self) -> impl DoubleEndedIterator<Item = &Arc<Promotion>> {
        self.plans.values()
    }

    /// Who made the token that this plan was asked for with, and the tokens before it; empty where its holder had logged in.
    #[must_use]
    pub fn makers(&self, id: u64) -> &[PrincipalName] {
        self.makers.get(&id).map_or(&[], |makers| makers)
    }

    /// As `makers`, of every plan that has some.
    pub(super) fn all_makers(&self) -> impl Iterator<Item = (u64, &Arc<Vec<PrincipalName>>)> {
        self.makers.iter().map(|(id, makers)| (*id, makers))
    }

    /// Whether one more finds room at `now`: plans of which nothing can come make it.
    pub(super) fn has_room(&self, now: Stamp) -> bool {
        self.plans.len() < limits::PROMOTIONS_MAX || self.plans.values().any(|plan| !plan.is_open(now))
    }

    pub(super) fn add(&mut self, plan: Promotion, at: &At<'_>, digest: &mut Digest) {
        if self.plans.len() >= limits::PROMOTIONS_MAX {
            let done = self.plans.values().find(|plan| !plan.is_open(at.stamp)).map(|plan| plan.id);
            if let Some(gone) = done.and_then(|id| self.plans.remove(&id)) {
                digest.subtract(ROW, &*gone);
                if let Some(makers) = self.makers.remove(&gone.id) {
                    digest.subtract(MAKERS_ROW, &(gone.id, &*makers));
                }
            }
        }
        let plan = Promotion { created: at.stamp, ..plan };
        digest.add(ROW, &plan);
        self.plans.insert(plan.id, Arc::new(plan));
    }

    pub(super) fn note_makers(&mut self, id: u64, makers: Vec<PrincipalName>, digest: &mut Digest) -> Result<(), &'static str> {
        if !self.plans.contains_key(&id) || self.makers.contains_key(&id) {
            return Err("its promotion does not exist, or its makers are noted");
        }
        digest.add(MAKERS_ROW, &(id, &makers));
        self.makers.insert(id, Arc::new(makers));
        Ok(())
    }

    pub(super) fn change(
        &mut self,
        id: u64,
        digest: &mut Digest,
        change: impl FnOnce(&mut Promotion),
    ) -> Result<(), &'static str> {
        let slot = self.plans.get_mut(&id).ok_or("its promotion does not exist")?;
        digest.subtract(ROW, &**slot);
        let plan = Arc::make_mut(slot);
        change(plan);
        digest.add(ROW, plan);
        Ok(())
    }

    pub(super) fn take(&mut self, plan: Arc<Promotion>) {
        self.plans.insert(plan.id, plan);
    }

    pub(super) fn take_makers(&mut self, id: u64, makers: Arc<Vec<PrincipalName>>) {
        self.makers.insert(id, makers);
    }

    pub(super) fn add_rows(&self, digest: &mut Digest) {
        self.plans.values().for_each(|plan| digest.add(ROW, &**plan));
        self.makers.iter().for_each(|(id, makers)| digest.add(MAKERS_ROW, &(*id, &**makers)));
    }
}
