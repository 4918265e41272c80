//! The Rust client of Holdfast.
//!
//! A [`Client`] knows every node of a cluster. Any node answers any call; when one does not, the client asks the next with the
//! same request id until its time is up, and the cluster does what was asked at most once.
//!
//! ```no_run
//! use proto_client::{Client, ClientConfig, Token, v1};
//!
//! # async fn example(ca: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let endpoints = ["https://10.0.0.1:7100", "https://10.0.0.2:7100"];
//! let client = Client::connect(ClientConfig {
//!     ca_pem: Some(ca),
//!     token: Some(Token::parse(std::env::var("HOLDFAST_TOKEN")?)?),
//!     ..ClientConfig::new(endpoints)
//! })
//! .await?;
//! let request = v1::GetRequest { environment: "production".into(), path: "db/password".into(), version: 0 };
//! let answer = client.secrets().get(request).await?;
//! # let _ = answer; Ok(())
//! # }
//! ```
//!
//! # This crate never
//! prints or keeps a value, and decides nothing: what is allowed, and what happened, the cluster says.

mod client;
mod config;
mod error;
mod retry;
mod services;
mod streams;

pub use proto::v1;

pub use crate::{
    client::{Client, Credentials, Service},
    config::{ClientConfig, ConfigError, Identity, Token},
    error::ClientError,
    services::{
        Alerts, Audit, CertRoles, Cluster, Environments, Issuers, Keys, Login, Machines, Policies, Promotions, Roles, Seal,
        Secrets, Snapshots, Tokens, Users, ValueRules, Wrapping,
    },
    streams::{Answers, ReadStream},
};
