//! A type that holds a secret derives no `Debug`: one stray `{:?}` would put it in a log.

use crate::{finding::Finding, source::Source, workspace::Workspace};

/// Words after `Secret` that make a name a label of a secret and not a holder of one.
const LABELS: &[&str] = &["Id", "Path", "Name", "Kind", "Type", "Summary", "Metadata", "Error", "Head", "Version"];
/// Keys that may be shown: public halves, and keys that are themselves sealed or only look things up.
const HARMLESS_KEYS: &[&str] = &["PublicKey", "WrappedKey", "SealedKey", "LookupKey", "RowKey", "SortKey"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    // The pure crate never sees a plaintext or an open key: its types that speak of secrets may be printed.
    workspace.product_sources().filter(|source| !source.path.starts_with("node/domain/")).flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let printable = source.outline.types.iter().filter(|found| found.derives.iter().any(|name| name == "Debug"));
    let secret = printable.filter(|found| holds_a_secret(&found.name) && !source.is_test_line(found.line));
    secret
        .map(|found| {
            let advice = format!("`{}` derives Debug: write one by hand that shows no content", found.name);
            Finding::new("secrecy", &source.path, found.line, advice)
        })
        .collect()
}

fn holds_a_secret(name: &str) -> bool {
    let key = name.ends_with("Key") && !HARMLESS_KEYS.iter().any(|harmless| name.ends_with(harmless));
    let secret = name.contains("Secret") && !LABELS.iter().any(|label| name.ends_with(label));
    key || secret || name.contains("Plaintext")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::source;

    #[test]
    fn a_printable_secret_is_found() {
        for name in ["SecretBytes", "Plaintext", "Key", "RootKey", "OpenSecret"] {
            let text = format!("#[derive(Clone, Debug)]\nstruct {name}(Vec<u8>);");
            assert_eq!(check_source(&source("storage/crypto/src/a.rs", &text)).len(), 1, "{name}");
        }
    }

    #[test]
    fn labels_of_secrets_may_be_printed() {
        let text = "#[derive(Debug)]\nstruct SecretPath;\n#[derive(Debug)]\nstruct WrappedKey;\nstruct Key;";
        assert!(check_source(&source("node/src/a.rs", text)).is_empty());
    }
}
