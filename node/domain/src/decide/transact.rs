//! Several changes in one environment, all or nothing.

use super::secrets::{Adding, check_expectation};
use super::{Answer, Decided, Desk};
use crate::command::{TransactChange, TransactItem};
use crate::event::{Cause, Event};
use crate::ids::EnvironmentName;
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use std::collections::BTreeSet;

impl Desk<'_> {
    pub(super) fn transact(&self, environment: EnvironmentName, items: Vec<TransactItem>) -> Decided {
        check_shape(&items)?;
        let mut events = Vec::with_capacity(items.len());
        let mut versions = Vec::with_capacity(items.len());
        for item in items {
            let (mut decided, answer) = self.transact_one(&environment, item, events.len())?;
            events.append(&mut decided);
            match answer {
                Answer::Versions(mut more) => versions.append(&mut more),
                Answer::Written { version, .. } => versions.push(version),
                Answer::Done | Answer::Readable(_) | Answer::Keys(_) | Answer::Identity(_) | Answer::Guard(_) => {}
            }
        }
        Ok((events, Answer::Versions(versions)))
    }

    fn transact_one(&self, environment: &EnvironmentName, item: TransactItem, at: usize) -> Decided {
        let TransactItem { path, expect, change } = item;
        let permit = match change {
            TransactChange::Put { .. } => self.permit_write(environment, path)?,
            TransactChange::Delete => self.permit(Capability::Delete, environment, path)?,
            TransactChange::Check => self.permit(Capability::List, environment, path)?,
        };
        let path = permit.subject;
        let existing = self.state.environment(environment)?.secrets.get(&path);
        check_expectation(&path, existing, expect)?;
        match change {
            TransactChange::Put { sealed, about } => self.added(Adding {
                environment: environment.clone(),
                path,
                existing,
                sealed: *sealed,
                about: about.normalized()?,
                cause: Cause::Transaction,
                at,
            }),
            TransactChange::Delete => {
                let secret = existing.ok_or_else(|| Rejection::not_found("secret", &path))?;
                let versions = vec![secret.readable(None)?.number];
                let event = Event::SecretVersionsDeleted {
                    environment: environment.clone(),
                    path,
                    secret: secret.id,
                    versions: versions.clone(),
                };
                Ok((vec![event], Answer::Versions(versions)))
            }
            TransactChange::Check => {
                // A check is a look, and a look is journalled.
                let versions = vec![existing.map_or(0, |secret| secret.newest)];
                let (operation, subject) = (Operation::SecretTransact, path.to_string());
                Ok((
                    vec![Event::Observed { operation, environment: Some(environment.clone()), subject }],
                    Answer::Versions(versions),
                ))
            }
        }
    }
}

fn check_shape(items: &[TransactItem]) -> Result<(), Rejection> {
    if items.is_empty() || items.len() > limits::TRANSACTION_ITEMS_MAX {
        return Err(Rejection::invalid(format!("a transaction has 1 to {} items", limits::TRANSACTION_ITEMS_MAX)));
    }
    let mut paths = BTreeSet::new();
    if let Some(twice) = items.iter().find(|item| !paths.insert(&item.path)) {
        return Err(Rejection::invalid(format!("{} stands twice in the transaction", twice.path)));
    }
    let bytes: usize = items.iter().map(TransactItem::bytes).sum();
    if bytes > limits::TRANSACTION_BYTES_MAX {
        return Err(Rejection::Limit(format!("a transaction carries at most {} bytes", limits::TRANSACTION_BYTES_MAX)));
    }
    Ok(())
}
