//! The first decision of a cluster.

use super::{Answer, Context};
use crate::command::Founding;
use crate::event::Event;
use crate::limits;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::Token;
use std::collections::BTreeSet;

/// Who stands in the journal for the founding.
pub const FOUNDER: &str = "holdfast";

pub(super) fn found(state: &State, context: &Context, founding: Founding) -> Result<(Vec<Event>, Answer), Rejection> {
    // Requests that came earlier were refused and are records already; what counts is that nothing was founded.
    if state.is_founded() {
        return Err(Rejection::invalid("a cluster is founded once"));
    }
    let names: BTreeSet<_> = founding.environments.iter().map(|(name, ..)| name).collect();
    if names.len() < founding.environments.len() {
        return Err(Rejection::invalid("an environment stands twice in the founding"));
    }
    if names.len() > limits::ENVIRONMENTS_MAX {
        return Err(Rejection::Limit(format!("a cluster has at most {} environments", limits::ENVIRONMENTS_MAX)));
    }
    let mut events = vec![Event::ClusterFounded { cluster: state.cluster }];
    if let Some(keys) = founding.keys {
        events.extend(crate::keys::founding(keys)?);
    }
    for (name, id, wrapped_key) in founding.environments {
        events.push(Event::environment_created(name, id, String::new(), wrapped_key));
    }
    let token = Token::of_root(founding.root_token, context.stamp, None)?;
    events.push(Event::TokenCreated { token: Box::new(token) });
    Ok((events, Answer::Done))
}
