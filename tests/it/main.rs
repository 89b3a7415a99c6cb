//! The one integration binary; each module of `suite` tests one thing.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod alone;
mod skip;
mod tool;

mod suite {
    #[cfg(feature = "sql")]
    mod anew;
    #[cfg(feature = "sql")]
    mod anonymise;
    mod capture;
    mod cli;
    #[cfg(feature = "cluster")]
    mod cluster;
    #[cfg(feature = "sql")]
    mod e2e;
    mod ended;
    #[cfg(feature = "sql")]
    mod export;
    #[cfg(feature = "sql")]
    mod faults;
    #[cfg(feature = "sql")]
    mod first;
    #[cfg(feature = "sql")]
    mod fleet;
    #[cfg(feature = "sql")]
    mod generate;
    mod hostile;
    mod house;
    #[cfg(feature = "sql")]
    mod import;
    mod ingest;
    mod leavings;
    mod live;
    mod locks;
    #[cfg(feature = "sql")]
    mod memory;
    mod model;
    #[cfg(feature = "sql")]
    mod mounts;
    #[cfg(feature = "sql")]
    mod own;
    #[cfg(feature = "sql")]
    mod query;
    #[cfg(feature = "sql")]
    mod reduce;
    mod replay;
    #[cfg(feature = "sql")]
    mod report;
    #[cfg(feature = "serve")]
    mod serve;
    #[cfg(feature = "sql")]
    mod slt;
    mod stap;
    #[cfg(feature = "sql")]
    mod store;
    #[cfg(feature = "sql")]
    mod streams;
    mod systemtap;
    #[cfg(feature = "sql")]
    mod times;
    #[cfg(feature = "sql")]
    mod what_if;
}
