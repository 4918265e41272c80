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

/// Starts of timelines that are remembered.
pub const TIMELINES_MAX: usize = 64;
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
/// Most paths of one environment that secrets were moved away from and where nothing was put since.
pub const PATHS_LEFT_MAX: usize = 100_000;
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
/// Most versions of one environment's key at once; older ones are retired when nothing is sealed by them any more.
pub const ENVIRONMENT_KEYS_MAX: usize = 16;
/// Most versions of the system's key.
pub const SYSTEM_KEYS_MAX: usize = 64;
/// Longest wrapped key, in bytes.
pub const WRAPPED_KEY_BYTES_MAX: usize = 256;
/// Most values rewrapped by one record.
pub const REWRAP_ITEMS_MAX: usize = 256;
/// Most names that one token is held to be in the hands of.
pub const HANDS_MAX: usize = 10_000;
/// Most live tokens.
pub const TOKENS_MAX: usize = 1_000_000;
/// How long after its last use a token may still have the answer to that wrapped, in milliseconds.
pub const ANSWER_MS_MAX: u64 = 60 * 1000;
/// Most live tokens that came of logins of one principal.
pub const OWN_LOGINS_MAX: usize = 10_000;
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
/// Longest text of a refusal, in bytes.
pub const REFUSAL_TEXT_BYTES_MAX: usize = 1024;
/// Most bytes of what one request led to, as it stands in the log: a batch holds at least one such.
pub const DECISION_BYTES_MAX: usize = TRANSACTION_BYTES_MAX * 3 / 2;
/// Prefixes that one promotion is planned from.
pub const PROMOTION_PREFIXES_MAX: usize = 64;
/// Entries of one page of a listing.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// Entries of one page where nothing else is said.
pub const PAGE_ENTRIES_DEFAULT: usize = 1_000;
/// Alerts kept.
pub const ALERTS_MAX: usize = 1_000;
/// The same alert within this time counts up instead of adding.
pub const ALERT_REPEAT_MS: u64 = 10 * 60 * 1000;
/// Repetitions of one alert that are recorded.
pub const ALERT_COUNT_MAX: u64 = 10_000;
/// Longest subject of an alert, in bytes: two names and what stands between them.
pub const ALERT_SUBJECT_BYTES_MAX: usize = 192;
/// Longest text of an alert, or of what went wrong with its delivery, in bytes.
pub const ALERT_TEXT_BYTES_MAX: usize = 1024;
/// Most places that alerts go to.
pub const SINKS_MAX: usize = 32;
/// Most sealed bytes of one such place.
pub const SINK_BYTES_MAX: usize = 8 << 10;
/// How long a sink that failed once is left alone.
pub const SINK_WAIT_MS_MIN: u64 = 1_000;
/// How long a sink that fails again and again is left alone.
pub const SINK_WAIT_MS_MAX: u64 = 10 * 60 * 1000;
/// So many denials …
pub const BURST_DENIALS: u32 = 10;
/// … within this time are a burst.
pub const BURST_WINDOW_MS: u64 = 60 * 1000;
/// Principals and addresses whose denials the leader counts.
pub const BURST_PRINCIPALS_MAX: usize = 10_000;
/// Principals whose addresses are remembered.
pub const KNOWN_PRINCIPALS_MAX: usize = 10_000;
/// Addresses remembered of each.
pub const KNOWN_ADDRESSES_MAX: usize = 16;
/// Secrets of one promotion.
pub const PROMOTION_ITEMS_MAX: usize = 64;
/// Promotions remembered.
pub const PROMOTIONS_MAX: usize = 256;
/// Most that one principal has open.
pub const OWN_PROMOTIONS_MAX: usize = 16;
/// How long a promotion waits to be approved and applied.
pub const PROMOTION_AGE_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Names of fields that a difference lists of each kind.
pub const DIFFERENCE_FIELDS_MAX: usize = 32;
/// Approvals that a promotion needs where nothing else is said.
pub const APPROVALS_DEFAULT: u32 = 1;
/// Most approvals that a promotion can need.
pub const APPROVALS_MAX: u32 = 8;
/// Most rules for values.
pub const VALUE_RULES_MAX: usize = 256;
/// Longest regular expression or schema of a rule for values, in bytes.
pub const RULE_TEXT_BYTES_MAX: usize = 16 << 10;

// Identities.

/// Longest name of a user, a machine, a certificate role or an issuer, in bytes: with `machine/` before it, it is a principal.
pub const IDENTITY_NAME_BYTES_MAX: usize = 40;
/// Most tokens that one token may have made and that live.
pub const TOKEN_CHILDREN_MAX: usize = 100_000;
/// Longest line of tokens that each made the next.
pub const TOKEN_DEPTH_MAX: usize = 8;
/// Most networks of a token or of a login.
pub const NETWORKS_MAX: usize = 32;
/// Longest time between two logins, renewals included, in milliseconds: 32 days.
pub const LOGIN_TTL_MS_MAX: u64 = 32 * 24 * 60 * 60 * 1000;
/// Most users, machines, certificate roles and issuers, of each kind.
pub const IDENTITIES_MAX: usize = 100_000;
/// Wrong passwords or codes after which a user is locked …
pub const LOGIN_FAILURES_MAX: usize = 5;
/// … when they all came within this time, in microseconds of log time …
pub const LOGIN_FAILURES_WINDOW_US: u64 = 15 * 60 * 1_000_000;
/// … for this long, in milliseconds.
pub const LOCKOUT_MS: u64 = 15 * 60 * 1000;
/// Length of one step of a TOTP code, in microseconds.
pub const TOTP_STEP_US: u64 = 30 * 1_000_000;
/// How many steps a code may be early or late.
pub const TOTP_WINDOW: u64 = 1;
/// Steps that a door may find to fit one code: it looks further around than counts.
pub const TOTP_STEPS_FITTING_MAX: usize = 8;
/// Most members of a cluster, learners included.
pub const MEMBERS_MAX: usize = 64;
/// Most nodes that say what they run before they are members.
pub const ANNOUNCED_MAX: usize = 64;
/// Recovery codes made with a TOTP secret.
pub const RECOVERY_CODES: usize = 10;
/// Most live secret ids of one machine.
pub const SECRET_IDS_MAX: usize = 1_000;
/// Most live secret ids.
pub const ALL_SECRET_IDS_MAX: usize = 100_000;
/// Largest payload that is wrapped for hand-over, sealed, in bytes.
pub const WRAPPED_BYTES_MAX: usize = 64 << 10;
/// Most bytes of his own that somebody may wrap.
pub const WRAPPED_GIVEN_BYTES_MAX: usize = 60 << 10;
/// Most sealed bytes that wait for their hand-over, all together.
pub const ALL_WRAPPED_BYTES_MAX: usize = 64 << 20;
/// Most wrappings that are remembered, used ones included until they end.
pub const WRAPPED_MAX: usize = 10_000;
/// Most of them that one principal made.
pub const OWN_WRAPPED_MAX: usize = 1_000;
/// Most sealed bytes of one principal that wait for their hand-over.
pub const OWN_WRAPPED_BYTES_MAX: usize = 8 << 20;
/// Longest time that a wrapping waits, in milliseconds: 7 days.
pub const WRAP_TTL_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1000;
/// Ended rows of one kind that one request takes away.
pub const ENDED_SWEPT_MAX: usize = 16;
/// Names that a certificate role may match, and that one certificate may show.
pub const CERTIFICATE_NAMES_MAX: usize = 64;
/// Longest such name, in bytes.
pub const CERTIFICATE_NAME_BYTES_MAX: usize = 255;
/// Largest key set of an issuer that is kept in the state, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 64 << 10;
/// Most claims that an issuer's tokens are bound to.
pub const BOUND_CLAIMS_MAX: usize = 16;

const _: () = {
    assert!(LOCKOUT_MS * 1000 >= LOGIN_FAILURES_WINDOW_US, "a lock outlasts the failures that led to it");
    assert!(IDENTITY_NAME_BYTES_MAX + "machine/".len() <= NAME_BYTES_MAX, "a machine's name fits a principal");
    assert!(WRAPPED_BYTES_MAX < TRANSACTION_BYTES_MAX, "a wrapping fits a batch");
    assert!(WRAPPED_GIVEN_BYTES_MAX + 1024 <= WRAPPED_BYTES_MAX, "what sealing adds fits, too");
    assert!(OWN_WRAPPED_BYTES_MAX >= WRAPPED_BYTES_MAX && OWN_WRAPPED_BYTES_MAX < ALL_WRAPPED_BYTES_MAX);
    assert!(OWN_WRAPPED_MAX < WRAPPED_MAX && OWN_LOGINS_MAX < TOKENS_MAX, "nobody uses up what is there for all");
    assert!(ALL_WRAPPED_BYTES_MAX >= WRAPPED_BYTES_MAX && LOGIN_FAILURES_MAX > 0);
};

const _: () = {
    assert!(PROMOTION_ITEMS_MAX <= TRANSACTION_ITEMS_MAX, "a promotion is one decision, as a transaction is");
    assert!(ALERT_SUBJECT_BYTES_MAX >= 2 * NAME_BYTES_MAX + 16, "a violation names a principal and an environment");
    assert!(TRANSACTION_BYTES_MAX >= SEALED_BYTES_MAX, "one largest value must fit a transaction");
    assert!(
        (ENVIRONMENTS_MAX * ENVIRONMENT_KEYS_MAX + SYSTEM_KEYS_MAX) * (WRAPPED_KEY_BYTES_MAX + 128) < TRANSACTION_BYTES_MAX,
        "every key wrapped anew must fit a batch"
    );
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
