//! The ticket of a new node: where its cluster is, whom to trust, and what opens its files, as one line of text.
//!
//! `hfj1.` and the base64url of a small JSON document, without padding.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const PREFIX: &str = "hfj1.";

/// What a new node is given. Not printable: whoever has it gets the node's files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ticket {
    /// Addresses of nodes, `https://host:port`.
    pub(crate) addresses: Vec<String>,
    /// The name in the nodes' certificates, where it is not the host of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<String>,
    /// The only authority that the nodes' certificates may lead to, as PEM.
    pub(crate) authority: String,
    /// The wrapping token.
    pub(crate) token: Zeroizing<String>,
}

impl Ticket {
    /// The line of text.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let json = Zeroizing::new(serde_json::to_vec(self).expect("texts always serialize"));
        Zeroizing::new(format!("{PREFIX}{}", Zeroizing::new(URL_SAFE_NO_PAD.encode(&*json)).as_str()))
    }

    /// # Errors
    /// When the text is no ticket. It is not quoted.
    pub(crate) fn parse(text: &str) -> Result<Ticket, String> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Err(match text {
                text if text.starts_with("hfw_") => "it is a wrapping token: `holdfast unwrap` opens it".into(),
                text if text.starts_with("hfj") => "it is of another version: use the `holdfast` that made it".into(),
                _ => format!("it does not begin with {PREFIX}"),
            });
        };
        let damaged = "it is damaged or cut off";
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| damaged)?);
        let ticket: Ticket = serde_json::from_slice(&json).map_err(|_| damaged)?;
        if ticket.addresses.is_empty() || !ticket.addresses.iter().all(|address| address.starts_with("https://")) {
            return Err("it names no nodes, or some without https".into());
        }
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(address: &str) -> Ticket {
        Ticket {
            addresses: vec![address.into()],
            server_name: None,
            authority: "-----BEGIN CERTIFICATE-----\n".into(),
            token: Zeroizing::new("hfw_topsecret".into()),
        }
    }

    fn refused(text: &str) -> String {
        Ticket::parse(text).err().unwrap()
    }

    #[test]
    fn a_ticket_is_one_line_and_is_read_back() {
        let text = ticket("https://a:1").text();
        assert!(text.starts_with("hfj1.") && text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text.as_str());
        let read = Ticket::parse(&format!(" {}\n", text.as_str())).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((read.addresses, read.token.as_str()), (vec!["https://a:1".to_owned()], "hfw_topsecret"));
        assert_eq!((read.authority.as_str(), read.server_name), ("-----BEGIN CERTIFICATE-----\n", None));
    }

    #[test]
    fn what_is_no_ticket_is_named_and_not_quoted() {
        assert!(refused("hfw_topsecret").contains("holdfast unwrap"));
        assert!(refused("hfj2.topsecret").contains("another version"));
        assert_eq!(refused("topsecret"), "it does not begin with hfj1.");
        assert_eq!(refused("hfj1.top secret"), "it is damaged or cut off");
        let text = ticket("https://a:1").text();
        for length in PREFIX.len()..text.len() {
            assert_eq!(refused(&text[..length]), "it is damaged or cut off", "{length}");
        }
    }

    #[test]
    fn a_ticket_names_nodes_and_all_of_them_by_https() {
        assert!(refused(&ticket("http://a:1").text()).contains("without https"));
        let nowhere = Ticket { addresses: Vec::new(), ..ticket("") };
        assert!(refused(&nowhere.text()).contains("names no nodes"));
    }
}
