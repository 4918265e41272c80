//! Every bound of the domain, with the relations among them checked at compile time.

/// Largest plaintext value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// What sealing may add to a value: header, commitment, tag, and the encoding of a structured value.
pub const SEALED_BYTES_MAX: usize = VALUE_BYTES_MAX + 1024;
/// Longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 512;
/// Most segments in a path.
pub const PATH_SEGMENTS_MAX: usize = 32;
/// Longest name of an environment, policy or principal, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest description, owner or type, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Most tags on one secret.
pub const TAGS_MAX: usize = 64;
/// Longest tag or key of custom metadata, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// Most entries of custom metadata on one secret.
pub const CUSTOM_ENTRIES_MAX: usize = 64;
/// Longest value in custom metadata, in bytes.
pub const CUSTOM_VALUE_BYTES_MAX: usize = 512;
/// Versions kept where nothing else is said.
pub const VERSIONS_DEFAULT: u32 = 10;
/// Most versions kept of one secret.
pub const VERSIONS_MAX: u32 = 100;
/// Most secrets read by one call.
pub const READ_MANY_MAX: usize = 256;
/// Most changes in one transaction.
pub const TRANSACTION_ITEMS_MAX: usize = 128;
/// Most sealed bytes in one transaction: it must fit a batch.
pub const TRANSACTION_BYTES_MAX: usize = 4 << 20;
/// Most environments.
pub const ENVIRONMENTS_MAX: usize = 256;
/// Most policies of one token.
pub const TOKEN_POLICIES_MAX: usize = 256;
/// Most rules in one policy.
pub const POLICY_RULES_MAX: usize = 256;
/// Most policies.
pub const POLICIES_MAX: usize = 10_000;
/// Most roles.
pub const ROLES_MAX: usize = 10_000;
/// Most versions of one environment's key at once; older ones are retired when nothing is sealed by them any more.
pub const ENVIRONMENT_KEYS_MAX: usize = 16;
/// Most versions of the system's key.
pub const SYSTEM_KEYS_MAX: usize = 64;
/// Longest wrapped key, in bytes.
pub const WRAPPED_KEY_BYTES_MAX: usize = 256;
/// Most values rewrapped by one record.
pub const REWRAP_ITEMS_MAX: usize = 256;
/// Most live tokens.
pub const TOKENS_MAX: usize = 1_000_000;
/// Most tokens that have ended which one new token takes away.
pub const TOKENS_SWEPT_MAX: usize = 16;
/// Receipts remembered: a request id asked again within this many writes is answered with the first outcome.
pub const RECEIPTS_MAX: usize = 100_000;
/// How long a receipt is remembered, in microseconds of log time.
pub const RECEIPT_AGE_US_MAX: u64 = 60 * 60 * 1_000_000;
/// Longest `source` of a request kept in a record, in bytes.
pub const SOURCE_BYTES_MAX: usize = 128;
/// Longest piece of a malformed request that a refusal quotes, in bytes.
pub const QUOTE_BYTES_MAX: usize = 128;
/// Entries of one page of a listing.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// Entries of one page where nothing else is said.
pub const PAGE_ENTRIES_DEFAULT: usize = 1_000;

const _: () = {
    assert!(TRANSACTION_BYTES_MAX >= SEALED_BYTES_MAX, "one largest value must fit a transaction");
    assert!(
        (ENVIRONMENTS_MAX * ENVIRONMENT_KEYS_MAX + SYSTEM_KEYS_MAX) * (WRAPPED_KEY_BYTES_MAX + 128) < TRANSACTION_BYTES_MAX,
        "every key wrapped anew must fit a batch"
    );
    assert!(VERSIONS_DEFAULT <= VERSIONS_MAX);
    assert!(PAGE_ENTRIES_DEFAULT <= PAGE_ENTRIES_MAX);
};

/// The start of `text` that is no longer than `bytes_max`, cut between characters.
#[must_use]
pub fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
