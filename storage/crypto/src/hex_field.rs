//! Serializes bytes as hexadecimal text, for files that people read.

use serde::{Deserialize as _, Deserializer, Serializer, de};

use crate::hex;

pub(crate) fn serialize<S: Serializer>(bytes: impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes.as_ref()))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, B: TryFrom<Vec<u8>>>(deserializer: D) -> Result<B, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = hex::decode(&text).map_err(|_| de::Error::custom("expected hexadecimal digits, two for each byte"))?;
    let digits = text.len();
    B::try_from(bytes).map_err(|_| de::Error::custom(format!("{digits} hexadecimal digits, expected another number of them")))
}
