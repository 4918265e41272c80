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
/// Most roles of one token.
pub const TOKEN_ROLES_MAX: usize = 64;
/// Most networks in the conditions of one rule.
pub const RULE_NETWORKS_MAX: usize = 32;
/// Most rules made ready to be asked, of all tokens together; a token with more has them asked one after the other.
pub const COMPILED_RULES_MAX: usize = 200_000;
/// Most tokens, and most sets of policies and roles, whose rules are made ready to be asked.
pub const COMPILED_TOKENS_MAX: usize = 65_536;
/// Most rules that one explanation lists.
pub const EXPLAINED_RULES_MAX: usize = 1_000;
/// Most tokens of one principal that one question is answered for.
pub const TESTED_TOKENS_MAX: usize = 32;
/// Most records that one simulation replays.
pub const REPLAYED_RECORDS_MAX: usize = 100_000;
/// Most changes that one simulation tells apart.
pub const REPLAYED_CHANGES_MAX: usize = 1_000;
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
    assert!(VERSIONS_DEFAULT <= VERSIONS_MAX);
    assert!(PAGE_ENTRIES_DEFAULT <= PAGE_ENTRIES_MAX);
    assert!(POLICY_RULES_MAX <= COMPILED_RULES_MAX, "one largest policy must be ready to be asked");
};

/// The start of `text` that is no longer than `bytes_max`, cut between characters.
#[must_use]
pub fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
