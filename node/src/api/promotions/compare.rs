//! How two values differ, in names of fields and sizes: nothing that was in them.

use node_domain::guard::{Difference, DifferenceKind};
use node_domain::limits;
use node_domain::sealed::SealRef;
use prost::Message;
use proto::v1;
use storage_crypto::secret_bytes::SecretBytes;
use zeroize::Zeroize;

/// The value that comes, beside the one that stands there.
pub(super) fn difference((from, new): (&SealRef, &SecretBytes), (to, old): (&SealRef, &SecretBytes)) -> Difference {
    let mut difference = Difference { from_bytes: from.size_bytes, to_bytes: to.size_bytes, ..Difference::default() };
    let same = from.structured == to.structured && new.expose() == old.expose();
    difference.kind = if same { DifferenceKind::Same } else { DifferenceKind::Changed };
    if from.structured && to.structured {
        by_field(&mut difference, new, old);
    }
    difference
}

fn by_field(difference: &mut Difference, new: &SecretBytes, old: &SecretBytes) {
    let decode = |bytes: &SecretBytes| v1::Fields::decode(bytes.expose());
    let (Ok(mut new), Ok(mut old)) = (decode(new), decode(old)) else { return };
    for (name, value) in &new.json {
        match old.json.get(name) {
            None => keep(&mut difference.added, name),
            Some(standing) if standing != value => keep(&mut difference.changed, name),
            Some(_) => {}
        }
    }
    old.json.keys().filter(|name| !new.json.contains_key(*name)).for_each(|name| keep(&mut difference.removed, name));
    [&mut new, &mut old].into_iter().for_each(|fields| fields.json.values_mut().for_each(Zeroize::zeroize));
}

/// Names are bounded; that there are more shows in the sizes.
fn keep(names: &mut Vec<String>, name: &str) {
    if names.len() < limits::DIFFERENCE_FIELDS_MAX {
        names.push(limits::cut(name.to_owned(), limits::TAG_BYTES_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(size_bytes: u32, structured: bool) -> SealRef {
        SealRef { key_version: 1, value_id: [0; 16], digest: [0; 32], size_bytes, structured }
    }

    fn fields(pairs: &[(&str, &str)]) -> SecretBytes {
        let json = pairs.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
        SecretBytes::from(v1::Fields { json }.encode_to_vec())
    }

    #[test]
    fn fields_are_named_and_values_are_not() {
        let new = fields(&[("user", "\"ana\""), ("password", "\"planted-new\""), ("port", "1")]);
        let old = fields(&[("user", "\"ana\""), ("password", "\"planted-old\""), ("host", "\"h\"")]);
        let found = difference((&seal(10, true), &new), (&seal(12, true), &old));
        assert_eq!(found.kind, DifferenceKind::Changed);
        assert_eq!((found.added.as_slice(), found.removed.as_slice()), (&["port".to_owned()][..], &["host".to_owned()][..]));
        assert_eq!(found.changed, ["password"]);
        assert_eq!((found.from_bytes, found.to_bytes), (10, 12));
        assert!(!format!("{found:?}").contains("planted"));
    }

    #[test]
    fn equal_values_are_the_same_and_bytes_are_never_fields() {
        let one = SecretBytes::from(b"value".to_vec());
        let same = difference((&seal(5, false), &one), (&seal(5, false), &SecretBytes::from(b"value".to_vec())));
        assert_eq!(same.kind, DifferenceKind::Same);
        let other = difference((&seal(5, false), &one), (&seal(5, true), &SecretBytes::from(b"value".to_vec())));
        assert_eq!(other.kind, DifferenceKind::Changed);
    }
}
