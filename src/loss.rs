//! What a capture missed: the kinds of loss in table `losses`, the same for all tools that capture.

use crate::words::words;
use serde::{Serialize, Serializer};

words! {
    /// A kind of loss: something that a capture missed, counted by kind.
    Loss {
        RingFull   "ring_full"   "calls that the ring had no room for: a larger --buffer, or fewer --syscalls";
        Untold     "untold"      "forks, ends of threads, paths of exec, requests, page faults, pages that came into the page cache and files of newcomers that the ring had no room for, or newcomers with too many files";
        Transport  "transport"   "events that the tracer wrote and that did not arrive whole: a larger --buffer, or SystemTap 5";
        Skipped    "skipped"     "times that the tracer skipped a probe: events may be missing";
        NoEnd      "no_end"      "ends that are missing: the tracer stopped early, and what came later is not here";
        Recursion  "recursion"   "calls that the kernel did not show, because it was inside another program";
        NoMark     "no_mark"     "threads that could not be followed, because the kernel had no memory for a mark";
        Compat     "compat32"    "calls in the form of another architecture, which are not decoded";
        Garbled    "garbled"     "records that make no sense";
        Killed     "killed"      "the rest of a capture that was killed: all that came later";
        Requests   "requests"    "requests to io_uring or io_submit (or calls that may have made some) that are not captured";
        Splices    "request_splice" "requests to io_uring to splice (IORING_OP_SPLICE) from or to registered files, or in a form that is not known, which are not captured";
        Attributes "request_xattr" "requests to io_uring for extended attributes (IORING_OP_SETXATTR, FSETXATTR, GETXATTR, FGETXATTR) in a form that is not known, which are not captured";
        Commands   "request_command" "requests to io_uring that only a driver or file system understands (IORING_OP_URING_CMD), which are not captured";
        NoResult   "no_result"   "requests whose results were not seen; their events are there without one";
        Unreadable "unreadable"  "paths and structures that could not be read; their events are there without them";
        Crowded    "crowded"     "texts that found no room in their line; their events are there without them";
        NoEntry    "no_entry"    "calls whose beginning was not seen; their events are there without a start and a duration";
        CutShort   "cut_short"   "calls that the end of their thread cut short";
        Waits      "waits"       "waits of threads that the ring had no room for, or that the kernel did not show";
        Unfinished "unfinished"  "calls that had not returned when the capture ended";
    }
}

impl Loss {
    /// Does each loss of this kind stand for an event (or for an unknown number of them) that should be in the capture and is
    /// not? The other kinds are parts of events, or events known to be missing anyhow.
    pub const fn of_events(self) -> bool {
        use Loss::{
            Attributes, Commands, Compat, Garbled, Killed, NoEnd, NoMark, Recursion, Requests, RingFull, Skipped, Splices,
        };
        use Loss::{Transport, Untold};
        matches!(
            self,
            RingFull
                | Untold
                | Transport
                | Skipped
                | NoEnd
                | Recursion
                | NoMark
                | Compat
                | Garbled
                | Killed
                | Requests
                | Splices
                | Attributes
                | Commands
        )
    }
}

impl Serialize for Loss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
