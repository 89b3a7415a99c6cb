//! Columns that several stages and views compute and that no dataset table has: name, SQL type, meaning.

/// Definitions that a stage's head takes over with `@from measures` ([`super::Stage`]).
#[rustfmt::skip]
pub const MEASURES: &[(&str, &str, &str)] = &[
    ("access", "BIGINT", "0 reads it, 1 adds to it, 2 writes it"),
    ("calls", "BIGINT", "how often"),
    ("captured_total_ns", "BIGINT", "the same in the capture"),
    ("different", "BIGINT", "of them with an outcome that differs from the captured one"),
    ("first", "BIGINT", "the first op_id of the span"),
    ("last", "BIGINT", "the last op_id of the span"),
    ("kind", "BIGINT", "kind of the resource"),
    ("max_ns", "BIGINT", "the longest, ns"),
    ("ns_before", "BIGINT", "their captured time, ns"),
    ("ns_through", "BIGINT", "their captured time, ns"),
    ("ops_before", "BIGINT", "ops of the lane before the first one of the span, or the one that waits"),
    ("ops_through", "BIGINT", "ops of the lane up to the last one of the span, or of the other lane up to the one that is waited for"),
    ("p99_ns", "BIGINT", "99 of 100 took at most this, ns"),
    ("read_bytes", "BIGINT", "bytes that they read"),
    ("resource", "BIGINT", "the resource"),
    ("second", "BIGINT", "seconds since the start of the replay"),
    ("total_ns", "BIGINT", "time in the call, all together, ns"),
    ("written_bytes", "BIGINT", "bytes that they wrote"),
];
