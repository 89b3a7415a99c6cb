//! The one integration binary; each module of `suite` tests one thing.

mod suite {
    mod generate;
    mod house;
    mod ingest;
    mod model;
    mod query;
    mod replay;
    #[cfg(feature = "sql")]
    mod slt;
}
