//! What woke a thread that slept, as events `waited` tell it.

use crate::words::words;

words! {
    /// What woke a thread; column `cmd` of events `waited` has its number.
    Wake {
        Unknown   "unknown"   "nobody saw";
        Thread    "thread"    "a captured thread, while it ran (column arg says which)";
        Timer     "timer"     "a timer: the end of a sleep or of a timeout, a timerfd, an alarm";
        Outside   "outside"   "a task that is not captured: another program, or a thread of the kernel";
        Interrupt "interrupt" "an interrupt, hard or soft, that is no timer: the network, a device; whose work it was is not known";
        Network   "network"   "a soft interrupt that served the network while a captured thread (column arg) was in a call that sends: taken for the arrival of what it sent to this machine itself";
    }
}

impl Wake {
    /// Its number in column `cmd` of events `waited`.
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// Is a captured thread said to have done it?
    pub const fn by_thread(self) -> bool {
        matches!(self, Wake::Thread | Wake::Network)
    }

    /// What has this number; [`Wake::Unknown`] where nothing has.
    pub fn of(number: i64) -> Wake {
        let known = Wake::ALL.iter().copied().find(|wake| wake.number() == number);
        known.unwrap_or(Wake::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are in datasets and in the programs that the kernel runs.
    #[test]
    fn numbers_stay_as_they_are() {
        let numbers: Vec<_> = Wake::ALL.iter().map(|wake| (wake.number(), wake.name())).collect();
        assert_eq!(numbers, [(0, "unknown"), (1, "thread"), (2, "timer"), (3, "outside"), (4, "interrupt"), (5, "network")]);
        assert!(Wake::ALL.iter().all(|wake| Wake::of(wake.number()) == *wake));
        assert_eq!([Wake::of(-1), Wake::of(6), Wake::of(i64::MAX)], [Wake::Unknown; 3]);
    }
}
