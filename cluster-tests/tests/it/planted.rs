//! What is planted, and the search for it in every form that it could take.

use aho_corasick::AhoCorasick;
use std::path::PathBuf;

/// One thing that must not be found, in each form that it could take.
pub(crate) struct Planted {
    pub(crate) what: &'static str,
    pub(crate) forms: Vec<Vec<u8>>,
}

impl Planted {
    pub(crate) fn new(what: &'static str, text: &str) -> Planted {
        let mut planted = Planted::of_bytes(what, text.as_bytes());
        planted.forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        planted
    }

    pub(crate) fn of_bytes(what: &'static str, bytes: &[u8]) -> Planted {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![bytes.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
        forms.push(bytes.iter().rev().copied().collect());
        // Base64 at each of three offsets: what stays the same whatever stands before and after.
        forms.extend((0..3).map(|offset| base64_core(bytes, offset)));
        Planted { what, forms }
    }
}

fn base64_core(bytes: &[u8], offset: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let skipped = (3 - offset) % 3;
    let whole = bytes[skipped..].chunks_exact(3);
    whole
        .flat_map(|chunk| {
            let bits = u32::from(chunk[0]) << 16 | u32::from(chunk[1]) << 8 | u32::from(chunk[2]);
            [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize])
        })
        .collect()
}

/// Where any of it is found.
pub(crate) fn hits(files: &[PathBuf], planted: &[Planted]) -> Vec<String> {
    let forms =
        planted.iter().flat_map(|planted| planted.forms.iter().enumerate().map(|(form, needle)| (planted.what, form, needle)));
    let forms: Vec<_> = forms.collect();
    let search = AhoCorasick::new(forms.iter().map(|(_, _, needle)| needle)).unwrap();
    let mut hits = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        for hit in search.find_overlapping_iter(&bytes) {
            let (what, form, _) = forms[hit.pattern().as_usize()];
            hits.push(format!("{what} (form {form}) in {} at {}", file.display(), hit.start()));
        }
    }
    hits
}

pub(crate) fn random_text(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::new_v4().simple())
}
