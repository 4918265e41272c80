//! The judge, judged: histories known to be bad, histories known to be good, and a slower judge to compare with.

#![allow(clippy::unwrap_used)]

mod bad;
mod ends;
mod journal;
mod oracle;
mod script;
mod speed;
mod world;
