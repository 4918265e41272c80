//! A plaintext value in the hands of the command line.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use proto_client::v1;
use zeroize::Zeroizing;

/// In JSON and YAML, bytes that are not text stand below this name.
pub(crate) const BYTES: &str = "$base64";

/// A value as it came, or as it will be sent. Not printable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    /// Text or bytes.
    Bytes(Zeroizing<Vec<u8>>),
    /// Field name → JSON text.
    Fields(BTreeMap<String, Zeroizing<String>>),
}

impl fmt::Debug for Plain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Plain(redacted)")
    }
}

impl Plain {
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Plain {
        Plain::Bytes(Zeroizing::new(bytes.into()))
    }

    /// The fields of a JSON object.
    pub(crate) fn fields(object: &serde_json::Map<String, serde_json::Value>) -> Plain {
        Plain::Fields(object.iter().map(|(name, value)| (name.clone(), Zeroizing::new(value.to_string()))).collect())
    }

    /// What stands in a document: an object with fields is structured, one with `$base64` is bytes, all else is text.
    pub(crate) fn from_json(value: &serde_json::Value) -> Result<Plain, String> {
        match value {
            serde_json::Value::Object(object) => match (object.len(), object.get(BYTES).and_then(|text| text.as_str())) {
                (1, Some(text)) => STANDARD.decode(text).map(Plain::bytes).map_err(|error| format!("{BYTES}: {error}")),
                _ => Ok(Plain::fields(object)),
            },
            serde_json::Value::String(text) => Ok(Plain::bytes(text.as_bytes())),
            other => Ok(Plain::bytes(other.to_string())),
        }
    }

    /// The opposite of [`Plain::from_json`].
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Plain::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.into(),
                Err(_) => serde_json::json!({ BYTES: STANDARD.encode(bytes) }),
            },
            Plain::Fields(fields) => fields.iter().map(|(name, json)| (name.clone(), field_value(json))).collect(),
        }
    }

    /// The bytes that a pipe gets: a structured value is a JSON object.
    pub(crate) fn raw(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Plain::Bytes(bytes) => bytes.clone(),
            Plain::Fields(_) => Zeroizing::new(self.to_json().to_string().into_bytes()),
        }
    }

    /// One field: the text of a JSON string, the JSON of all else.
    pub(crate) fn field(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Plain::Bytes(_) => None,
            Plain::Fields(fields) => fields.get(name).map(|json| Zeroizing::new(field_text(json).into_bytes())),
        }
    }

    /// The names of the fields; empty for text and bytes.
    pub(crate) fn field_names(&self) -> Vec<&str> {
        match self {
            Plain::Bytes(_) => Vec::new(),
            Plain::Fields(fields) => fields.keys().map(String::as_str).collect(),
        }
    }

    /// What a person sees who asked to see it.
    pub(crate) fn readable(&self) -> String {
        match self {
            Plain::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
            },
            Plain::Fields(_) => self.to_json().to_string(),
        }
    }
}

/// The JSON value of a field; text that is no JSON (from a foreign client) stays text.
fn field_value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap_or_else(|_| json.into())
}

/// The text of a field as people read it.
pub(crate) fn field_text(json: &str) -> String {
    match field_value(json) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

impl From<&Plain> for v1::Value {
    fn from(plain: &Plain) -> v1::Value {
        let kind = match plain {
            Plain::Bytes(bytes) => v1::value::Kind::Bytes(bytes.to_vec().into()),
            Plain::Fields(fields) => {
                let json = fields.iter().map(|(name, json)| (name.clone(), json.to_string())).collect();
                v1::value::Kind::Fields(v1::Fields { json })
            }
        };
        v1::Value { kind: Some(kind) }
    }
}

impl From<Option<v1::Value>> for Plain {
    fn from(value: Option<v1::Value>) -> Plain {
        match value.and_then(|value| value.kind) {
            Some(v1::value::Kind::Fields(fields)) => {
                Plain::Fields(fields.json.into_iter().map(|(name, json)| (name, Zeroizing::new(json))).collect())
            }
            Some(v1::value::Kind::Bytes(bytes)) => Plain::bytes(bytes),
            None => Plain::bytes(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_gives_back_what_it_took() {
        for value in [json!("text"), json!({ "user": "ana", "port": 5432, "tls": { "on": true } }), json!({ "$base64": "/w==" })]
        {
            assert_eq!(Plain::from_json(&value).unwrap().to_json(), value);
        }
        assert_eq!(Plain::from_json(&json!(5432)).unwrap().to_json(), json!("5432"));
        assert!(Plain::from_json(&json!({ "$base64": "!" })).is_err());
    }

    #[test]
    fn a_field_is_its_text() {
        let plain = Plain::from_json(&json!({ "user": "ana", "port": 5432 })).unwrap();
        assert_eq!(plain.field("user").unwrap().as_slice(), b"ana");
        assert_eq!(plain.field("port").unwrap().as_slice(), b"5432");
        assert!(plain.field("password").is_none());
    }

    #[test]
    fn the_wire_gives_back_what_it_took() {
        for plain in [Plain::bytes([255, 0]), Plain::from_json(&json!({ "a": [1, 2] })).unwrap()] {
            assert!(Plain::from(Some(v1::Value::from(&plain))) == plain);
        }
    }
}
