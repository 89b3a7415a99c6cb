//! Rings of io_uring(7) that a program set up so that somebody polls, as a capture tells of them.

use crate::words::words;
use serde::{Deserialize, Serialize};

/// Key of the list of such rings ([`Polled`]) in the manifests of captures.
pub const KEY: &str = "polled_rings";

words! {
    /// Who polls for a ring of io_uring (io_uring_setup(2)).
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Polling {
        Sqpoll "sqpoll" "a thread of the kernel takes the requests from the ring (IORING_SETUP_SQPOLL)";
        Iopoll "iopoll" "who takes results asks the device for them, which does not interrupt (IORING_SETUP_IOPOLL)";
    }
}

impl Polling {
    /// Its flag of io_uring_setup(2), as the kernel keeps it with the ring.
    pub const fn flag(self) -> u32 {
        match self {
            Polling::Iopoll => 1,
            Polling::Sqpoll => 1 << 1,
        }
    }
}

/// A ring that is polled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled {
    /// Its number, as in column `ring` of events.
    pub ring: i64,
    /// Who polls.
    pub polling: Vec<Polling>,
    /// Number of requests that went through it.
    pub requests: u64,
}
