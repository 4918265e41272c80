//! One share of a seal key, and its text.
//!
//! ```text
//! "hfs1-" | 80 characters of Crockford's base32 in groups of five, joined by "-"
//! set id 8 | index u8 | threshold u8 | shares u8 | share 32 | checksum 7 = BLAKE3 derive_key(context, the 43 bytes before), cut
//! ```
//! The alphabet has no i, l, o and u; i and l are read as 1 and o as 0, capitals as small letters, and hyphens and white space between
//! the characters are skipped. The checksum finds what was mistyped; it is no proof of origin.

use std::sync::LazyLock;

use data_encoding::{BitOrder, Encoding, Specification, Translate};
use zeroize::Zeroizing;

use crate::{
    hex,
    key::{KEY_BYTES, Key, derive_into},
    shamir::{ShareError, ShareSet},
};

const FAMILY: &str = "hfs";
const PREFIX: &str = "hfs1-";
const BODY_BYTES: usize = 8 + 3 + KEY_BYTES;
const CHECKSUM_BYTES: usize = 7;
const SHARE_BYTES: usize = BODY_BYTES + CHECKSUM_BYTES;
const GROUP: usize = 5;
const CHECKSUM_CONTEXT: &str = "holdfast/v1/share checksum";

/// Characters of a share behind its prefix, without separators.
pub const SHARE_CHARACTERS: usize = SHARE_BYTES / 5 * 8;

const _: () = assert!(SHARE_BYTES.is_multiple_of(5) && SHARE_CHARACTERS.is_multiple_of(GROUP), "groups come out even");

static CROCKFORD: LazyLock<Encoding> = LazyLock::new(|| {
    let specification = Specification {
        symbols: "0123456789abcdefghjkmnpqrstvwxyz".to_owned(),
        bit_order: BitOrder::MostSignificantFirst,
        translate: Translate { from: "ABCDEFGHJKMNPQRSTVWXYZilILoO".to_owned(), to: "abcdefghjkmnpqrstvwxyz111100".to_owned() },
        ..Specification::new()
    };
    specification.encoding().expect("32 symbols, and each translation is to one of them")
});

/// One holder's part of a seal key. Fewer than the threshold of them say nothing about it.
///
/// It is neither printable nor clonable; [`Share::text`] is the one way out.
pub struct Share {
    set_id: [u8; 8],
    index: u8,
    threshold: u8,
    shares: u8,
    part: Key,
}

impl Share {
    /// One part of a set: the y of Shamir's polynomials at x = `index`, for each byte of the key. As secret as a key, and kept like one.
    pub(crate) fn new(set: &ShareSet, index: u8, part: Key) -> Share {
        Share { set_id: set.set_id, index, threshold: set.threshold, shares: set.shares, part }
    }

    /// Reads a share as a person typed it.
    ///
    /// # Errors
    /// Says what is wrong with the text, never what the text is.
    pub fn parse(text: &str) -> Result<Share, ShareError> {
        let characters = characters_of(text)?;
        let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
        CROCKFORD.decode_mut(&characters[..], &mut bytes[..]).map_err(|partial| ShareError::Mistyped {
            what: format!("character {} behind the prefix is not one that a share has", partial.error.position + 1),
        })?;
        let (body, checksum) = bytes.split_at(BODY_BYTES);
        if checksum != checksum_of(body) {
            return Err(ShareError::Mistyped { what: "its checksum does not fit".to_owned() });
        }
        let (set_id, rest) = body.split_at(8);
        let (shape, part) = rest.split_at(3);
        let set_id = set_id.try_into().expect("the slice was cut to eight bytes");
        let part = Key::from_slice(part).expect("what is left is as long as a key");
        let share = Share { set_id, index: shape[0], threshold: shape[1], shares: shape[2], part };
        let is_possible = (1..=share.shares).contains(&share.index) && (1..=share.shares).contains(&share.threshold);
        if !is_possible {
            return Err(ShareError::Mistyped { what: "its numbers cannot be, although its checksum fits".to_owned() });
        }
        Ok(share)
    }

    /// The text to give to its holder.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
        bytes[..8].copy_from_slice(&self.set_id);
        bytes[8..11].copy_from_slice(&[self.index, self.threshold, self.shares]);
        bytes[11..BODY_BYTES].copy_from_slice(self.part.expose());
        let checksum = checksum_of(&bytes[..BODY_BYTES]);
        bytes[BODY_BYTES..].copy_from_slice(&checksum);
        let mut characters = Zeroizing::new([0; SHARE_CHARACTERS]);
        CROCKFORD.encode_mut(&bytes[..], &mut characters[..]);
        // Exactly as long as the text will be: a string that grew would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + SHARE_CHARACTERS + SHARE_CHARACTERS / GROUP - 1));
        text.push_str(PREFIX);
        for (position, character) in characters.iter().enumerate() {
            if position > 0 && position.is_multiple_of(GROUP) {
                text.push('-');
            }
            text.push(char::from(*character));
        }
        text
    }

    /// Which of the shares it is, from 1.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Which set it belongs to.
    #[must_use]
    pub fn set_id(&self) -> [u8; 8] {
        self.set_id
    }

    /// How many shares of its set give the key, and how many there are.
    #[must_use]
    pub fn shape(&self) -> (u8, u8) {
        (self.threshold, self.shares)
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        self.part.expose()
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Share({} of {}, set {})", self.index, self.shares, hex::encode(&self.set_id))
    }
}

fn checksum_of(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut checksum = [0; CHECKSUM_BYTES];
    derive_into(CHECKSUM_CONTEXT, &[body], &mut checksum);
    checksum
}

/// The characters behind the prefix, without what stands between them.
fn characters_of(text: &str) -> Result<Zeroizing<[u8; SHARE_CHARACTERS]>, ShareError> {
    let text = text.trim();
    let (prefix, rest) = text.split_once('-').ok_or(ShareError::NotAShare)?;
    if !prefix.eq_ignore_ascii_case(PREFIX.trim_end_matches('-')) {
        let family = prefix.get(..FAMILY.len()).filter(|family| family.eq_ignore_ascii_case(FAMILY));
        let version = family.and_then(|family| prefix[family.len()..].parse().ok());
        return Err(version.map_or(ShareError::NotAShare, ShareError::Newer));
    }
    let mut characters = Zeroizing::new([0; SHARE_CHARACTERS]);
    let mut found = 0;
    for character in rest.chars().filter(|character| *character != '-' && !character.is_whitespace()) {
        if let Some(place) = characters.get_mut(found) {
            *place = u8::try_from(character).ok().filter(u8::is_ascii_alphanumeric).ok_or_else(|| ShareError::Mistyped {
                what: format!("character {} behind the prefix is neither a letter nor a digit", found + 1),
            })?;
        }
        found += 1;
    }
    if found != SHARE_CHARACTERS {
        return Err(ShareError::Mistyped {
            what: format!("it has {found} characters behind the prefix, not {SHARE_CHARACTERS}"),
        });
    }
    Ok(characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> Share {
        let set = ShareSet { set_id: [1, 2, 3, 4, 5, 6, 7, 8], threshold: 3, shares: 5, key_check: [0; 8] };
        Share::new(&set, 2, Key::from_bytes(std::array::from_fn(|index| index as u8 * 7)))
    }

    fn refusal(text: &str) -> String {
        Share::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_share_is_read_back_however_it_was_typed() {
        let text = share().text();
        assert_eq!(*text, "hfs1-04106-1050r-3gg0g-30m00-e3gn3-ghjmc-9r7x3-4tn2v-c9mq0-xvygp-6976n-1n2qv-dfe4s-f9dkq-kvev6-77bx2");
        assert_eq!(text.len(), text.capacity(), "a string that grew would leave copies behind");
        let bare = format!("hfs1-{}", text[5..].replace('-', ""));
        let spaced = format!("  {}\n", text.replace('-', " ").replacen(' ', "-", 1));
        let confused = text.replace('0', "O").replace('1', "l").replacen("hfsl", "hfs1", 1);
        for typed in [text.to_string(), text.to_uppercase(), bare, spaced, confused] {
            let read = Share::parse(&typed).unwrap();
            assert_eq!((read.index(), read.set_id(), read.shape()), (2, share().set_id(), (3, 5)));
            assert_eq!(read.expose(), share().expose());
        }
    }

    #[test]
    fn every_single_character_change_is_named_as_mistyped() {
        let text = share().text();
        let mut changes = 0;
        for position in PREFIX.len()..text.len() {
            for replacement in "0123456789abcdefghijklmnopqrstuvwxyz-!é".chars() {
                let original = text.as_bytes()[position] as char;
                let reads_the_same = match original {
                    '1' => "il1".contains(replacement),
                    '0' => "o0".contains(replacement),
                    other => other == replacement,
                };
                if reads_the_same {
                    continue;
                }
                let mut typed = text[..position].to_owned();
                typed.push(replacement);
                typed.push_str(&text[position + 1..]);
                let said = refusal(&typed);
                assert!(said.starts_with("the share was mistyped"), "{position} {replacement}: {said}");
                changes += 1;
            }
        }
        assert!(changes > 3500, "{changes}");
    }

    #[test]
    fn a_dropped_or_doubled_or_swapped_character_is_named_as_mistyped() {
        let text = share().text();
        for position in PREFIX.len()..text.len() - 1 {
            let (before, here, after) = (&text[..position], &text[position..=position], &text[position + 1..]);
            if here == "-" {
                continue;
            }
            assert!(refusal(&format!("{before}{after}")).contains("it has 79 characters"));
            assert!(refusal(&format!("{before}{here}{here}{after}")).contains("it has 81 characters"));
            let next = &after[..1];
            if next != "-" && next != here {
                assert!(refusal(&format!("{before}{next}{here}{}", &after[1..])).contains("checksum"));
            }
        }
    }

    #[test]
    fn what_is_no_share_is_said_to_be_none_and_never_repeated() {
        for text in ["", "hfs1", "hunter2", "hfs-abc", "hvs-secretsecret", "é-x"] {
            let said = refusal(text);
            assert!(said.starts_with("this is not a share"), "{text}: {said}");
            assert!(text.len() < 6 || !said.contains(text), "{said}");
        }
        assert!(refusal("hfs2-abc").contains("newer"));
        let long = refusal(&format!("hfs1-{}", "a".repeat(10_000)));
        assert_eq!(long, "the share was mistyped: it has 10000 characters behind the prefix, not 80");
        assert_eq!(format!("{:?}", share()), "Share(2 of 5, set 0102030405060708)");
    }
}
