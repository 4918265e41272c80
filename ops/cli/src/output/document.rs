//! JSON and YAML: a stable contract. Every document says `"schema": "holdfast/v1"`.

use serde::Serialize;

const SCHEMA: &str = "holdfast/v1";

#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    schema: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

fn document<T: Serialize>(body: &T) -> Document<'_, T> {
    Document { schema: SCHEMA, body }
}

/// For one answer.
pub(crate) fn json(body: &impl Serialize) -> String {
    serde_json::to_string_pretty(&document(body)).expect("our answers are maps with text keys")
}

/// For one item of a stream.
pub(crate) fn json_line(body: &impl Serialize) -> String {
    serde_json::to_string(&document(body)).expect("our answers are maps with text keys")
}

/// The same as YAML.
pub(crate) fn yaml(body: &impl Serialize) -> String {
    serde_norway::to_string(&document(body)).expect("our answers are maps with text keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_document_names_its_schema() {
        let body = json!({ "path": "db/password", "version": 2 });
        let read: serde_json::Value = serde_json::from_str(&json(&body)).unwrap();
        assert_eq!(read, json!({ "schema": "holdfast/v1", "path": "db/password", "version": 2 }));
        let read: serde_json::Value = serde_norway::from_str(&yaml(&body)).unwrap();
        assert_eq!(read["schema"], "holdfast/v1");
        assert_eq!(json_line(&body).lines().count(), 1);
    }
}
