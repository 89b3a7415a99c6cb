//! The comparison: is an outcome the same as the captured one, different, or not comparable for a stated reason?
//!
//! Same means: both succeeded or both failed, with the same errno, and the same return value for the calls whose return role
//! says so ([`crate::syscall::Ret::compared`]). An outcome that is not the same is different, unless a row of [`TOLERANCES`]
//! gives a reason why a faithful replay may differ there.

use crate::fate::Origin;
use crate::replay::shared::record::{CHANGED, CWD, Fact, LOCK, REGROUPED, Record, SPARSE, WITHHELD, errno};
use crate::syscall::{Op, Ret};

/// The verdict of comparing an op's outcome with the captured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Same success or failure, errno and (where it is compared) return value as captured.
    Same,
    /// Another outcome than the captured one, and no tolerance applies; or an inserted op that failed.
    Different,
    /// There is no captured outcome to compare with, or a tolerance gives a reason for the difference.
    Uncompared,
}

impl Outcome {
    /// Its word in column `outcome` of the results.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Same => "same",
            Outcome::Different => "different",
            Outcome::Uncompared => "uncompared",
        }
    }
}

/// In which of the two outcomes an errno must occur for a tolerance to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Captured,
    Replayed,
    Either,
}

/// A tolerated difference: under these conditions a different outcome counts as uncompared, since a faithful replay may
/// differ.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Its word in column `kind` of the results.
    pub kind: &'static str,
    /// Why a faithful replay may differ, for people.
    pub reason: &'static str,
    side: Side,
    /// Applies to any of these errnos; empty for any outcome.
    errnos: &'static [i32],
    /// Applies to these calls; empty for all.
    ops: &'static [Op],
    /// Applies to ops with any of these note bits; 0 for all.
    notes: u8,
}

/// A tolerance of errnos on one side, for some calls (all, if empty).
const fn when(kind: &'static str, side: Side, errnos: &'static [i32], ops: &'static [Op], reason: &'static str) -> Tolerance {
    Tolerance { kind, reason, side, errnos, ops, notes: 0 }
}
/// A tolerance of any difference of ops with a note bit.
const fn noted(kind: &'static str, notes: u8, reason: &'static str) -> Tolerance {
    Tolerance { kind, reason, side: Side::Either, errnos: &[], ops: &[], notes }
}

use Op::*;
const XATTR: &[Op] = &[
    Getxattr,
    Lgetxattr,
    Fgetxattr,
    Listxattr,
    Llistxattr,
    Flistxattr,
    Setxattr,
    Lsetxattr,
    Fsetxattr,
    Removexattr,
    Lremovexattr,
    Fremovexattr,
];
const FEATURES: &[Op] = &[
    Fallocate,
    CopyFileRange,
    Sendfile,
    Ioctl,
    Fcntl,
    SyncFileRange,
    Openat,
    Openat2,
    Open,
    Renameat2,
    Preadv2,
    Pwritev2,
    Fadvise,
];
const DATA: &[Op] = &[Read, Readv, Pread, Preadv, Preadv2, Write, Writev, Pwrite, Pwritev, Pwritev2];
const OWNERS: &[Op] = &[Chown, Lchown, Fchown, Fchownat, Chmod, Fchmod, Fchmodat, Fchmodat2];

/// Every tolerated difference, first match wins; docs/FIDELITY.md explains them at length.
#[rustfmt::skip]
pub const TOLERANCES: &[Tolerance] = &[
    when("limits", Side::Captured, &[libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOLCK], &[], "the captured process had met a limit of its own: not issued, but for locks"),
    when("space", Side::Captured, &[libc::ENOSPC, libc::EDQUOT, libc::EFBIG], &[], "the captured disk or quota was full: not issued"),
    when("hardware", Side::Captured, &[libc::EIO, libc::ENXIO, libc::ENODEV], &[], "the captured device failed or was not there: not issued when it failed"),
    noted("withheld", WITHHELD, "device nodes, leases and signals are not made, what the captured kernel did not know (ENOSYS) is not asked of this one, and requests that were taken back (ECANCELED) are not made"),
    noted(REGROUPED_KIND, REGROUPED, "a sync that was left out, since another one had written the file back since the last write (--syncs regroup)"),
    noted("lock", LOCK, "who holds the lock may be outside the capture; some captures lack kind and range; record locks are issued as those of the open file description"),
    noted("sparse", SPARSE, "where data and holes begin is the file system's choice"),
    when("credentials", Side::Captured, &[libc::EACCES, libc::EPERM], &[], "the replay has other rights than the captured program"),
    when("credentials", Side::Replayed, &[libc::EPERM, libc::EINVAL], OWNERS, "the replay may not give files away"),
    when("interrupted", Side::Captured, &[libc::EINTR, 512, 513, 514, 516], &[], "a signal ended the captured call"),
    when("again", Side::Captured, &[libc::EAGAIN], &[], "the captured call found something busy or not cached"),
    when("mounts", Side::Captured, &[libc::EXDEV, libc::EBUSY, libc::EROFS], &[], "the mount points were not captured"),
    when("executing", Side::Captured, &[libc::ETXTBSY], &[], "programs are not executed"),
    when("bad_address", Side::Captured, &[libc::EFAULT], &[], "the captured call was given a bad address"),
    when("file_system", Side::Either, &[libc::EOPNOTSUPP, libc::ENOTTY, libc::ENODATA, libc::ENOSYS, libc::ERANGE, libc::E2BIG], XATTR, "the file systems or the attributes' values differ"),
    when("file_system", Side::Either, &[libc::EOPNOTSUPP, libc::ENOTTY, libc::ENOSYS, libc::EXDEV], FEATURES, "the file systems differ in what they can do"),
    when("file_system", Side::Either, &[], &[Ioctl], "requests are the file system's own"),
    when("direct", Side::Either, &[libc::EINVAL], DATA, "O_DIRECT asks for the alignment of another device"),
];

/// In column `kind` of the results: why the outcome of a changed op is not compared.
const CHANGED_KIND: &str = "changed";
/// In column `kind` of the results: a sync was left out.
pub const REGROUPED_KIND: &str = "regrouped";

impl Tolerance {
    fn holds(&self, record: &Record, op: Op, captured: i64) -> bool {
        let seen = |ret: i64| self.errnos.contains(&errno(ret));
        let errno = self.errnos.is_empty()
            || match self.side {
                Side::Captured => seen(captured),
                Side::Replayed => seen(record.ret()),
                Side::Either => seen(captured) || seen(record.ret()),
            };
        errno && (self.ops.is_empty() || self.ops.contains(&op)) && (self.notes == 0 || record.fact.notes & self.notes != 0)
    }
}

/// What a replay of an op is compared with, as far as that is known before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: why, as in column `kind` of the results.
    Anything(&'static str),
    /// This return value.
    Value(i64),
    /// Success, with any return value.
    Success,
    /// This errno.
    Error(i32),
}

/// What an op is expected to do. Beside it [`tolerated`] errors are no difference.
pub fn expected(fact: Fact) -> Expected {
    let record = Record { fact, ..Record::default() };
    let (Some(captured), Some(op)) = (record.captured(), record.op()) else {
        return if record.origin() == Origin::Event { Expected::Anything("unknown") } else { Expected::Success };
    };
    let was = errno(captured);
    if fact.notes & CHANGED != 0 {
        return if was == 0 { Expected::Success } else { Expected::Anything(CHANGED_KIND) };
    }
    // Whatever it returns: the stamp says that it worked.
    let always = |row: &&Tolerance| row.side != Side::Replayed && row.holds(&record, op, captured);
    match (TOLERANCES.iter().find(always), was) {
        (Some(row), _) => Expected::Anything(row.kind),
        (None, 0) if record.syscall().def().ret.compared() => Expected::Value(captured),
        (None, 0) => Expected::Success,
        (None, error) => Expected::Error(error),
    }
}

/// Errors of a replayed call that are no difference, whatever was captured.
pub fn tolerated(op: Op) -> impl Iterator<Item = i32> {
    let rows = TOLERANCES.iter().filter(move |row| row.side != Side::Captured && row.notes == 0);
    rows.filter(move |row| row.ops.is_empty() || row.ops.contains(&op)).flat_map(|row| row.errnos).copied()
}

/// Compares the outcome of an op with the captured one. The word is the `kind` of the results: how they differ, or why they
/// are not compared; `None` when they are the same.
pub fn compare(record: &Record) -> (Outcome, Option<&'static str>) {
    let (Some(captured), Some(op)) = (record.captured(), record.op()) else {
        // An inserted op has no captured outcome, and is expected to succeed.
        return match (record.origin(), errno(record.ret())) {
            (Origin::Event, _) => (Outcome::Uncompared, Some("unknown")),
            (_, 0) => (Outcome::Uncompared, Some("inserted")),
            (_, _) => (Outcome::Different, Some("failed")),
        };
    };
    let ret = record.syscall().def().ret;
    let changed = record.fact.notes & CHANGED != 0;
    let (was, is) = (errno(captured), errno(record.ret()));
    // A call that succeeded succeeds all the same: what it needs is in the workload. What it returns is not known.
    if changed && (was != 0 || is == 0) {
        return (Outcome::Uncompared, Some(CHANGED_KIND));
    }
    // It was not issued, so it did not return what it is said to have.
    if record.fact.notes & REGROUPED != 0 {
        return (Outcome::Uncompared, Some(REGROUPED_KIND));
    }
    let difference = match (was, is) {
        (0, 0) if !ret.compared() || captured == record.ret() => None,
        (0, 0) => Some(match ret {
            Ret::Pos => "position",
            Ret::Len => "length",
            _ => "bytes",
        }),
        (0, _) if record.fact.notes & CWD != 0 => Some("cwd"),
        (0, _) => Some("failed"),
        (_, 0) => Some("succeeded"),
        (was, is) => (was != is).then_some("errno"),
    };
    match difference {
        None => (Outcome::Same, None),
        Some(difference) => match TOLERANCES.iter().find(|tolerance| tolerance.holds(record, op, captured)) {
            Some(tolerance) => (Outcome::Uncompared, Some(tolerance.kind)),
            None => (Outcome::Different, Some(difference)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::shared::record::{Stamp, UNKNOWN};
    use crate::syscall::Syscall;

    fn record(syscall: Syscall, captured: i64, ret: i64, notes: u8) -> Record {
        let op = syscall.op().unwrap() as u8;
        let fact = Fact { syscall: syscall as u8, op, captured, notes, ..Fact::default() };
        Record { fact, stamp: Stamp { ret, ..Stamp::default() }, worker: 0 }
    }

    #[test]
    fn outcomes_are_judged() {
        use Outcome::*;
        let cases = [
            (Syscall::openat, 3, 9, 0, Same, None),
            (Syscall::openat, -2, -2, 0, Same, None),
            (Syscall::openat, -2, 3, 0, Different, Some("succeeded")),
            (Syscall::openat, 3, -2, 0, Different, Some("failed")),
            (Syscall::openat, 3, -2, CWD, Different, Some("cwd")),
            (Syscall::openat, -2, -20, 0, Different, Some("errno")),
            (Syscall::openat, -13, 3, 0, Uncompared, Some("credentials")),
            (Syscall::openat, 3, -13, 0, Different, Some("failed")),
            (Syscall::read, 10, 9, 0, Different, Some("bytes")),
            (Syscall::read, 10, 10, 0, Same, None),
            (Syscall::lseek, 10, 9, 0, Different, Some("position")),
            (Syscall::lseek, 10, 9, SPARSE, Uncompared, Some("sparse")),
            (Syscall::readlink, 10, 9, 0, Different, Some("length")),
            (Syscall::getdents64, 10, 0, 0, Same, None),
            (Syscall::fcntl, 0, 0, LOCK, Same, None),
            (Syscall::read, 10, 9, CHANGED, Uncompared, Some("changed")),
            (Syscall::read, 10, 10, CHANGED, Uncompared, Some("changed")),
            (Syscall::read, 10, -9, CHANGED, Different, Some("failed")),
            (Syscall::openat, -2, 3, CHANGED, Uncompared, Some("changed")),
            (Syscall::fdatasync, 0, 0, REGROUPED, Uncompared, Some("regrouped")),
            (Syscall::fcntl, -11, 0, LOCK, Uncompared, Some("lock")),
            (Syscall::pwrite64, 10, -28, 0, Different, Some("failed")),
            (Syscall::pwrite64, -28, 10, 0, Uncompared, Some("space")),
            (Syscall::getxattr, -61, -95, 0, Uncompared, Some("file_system")),
            (Syscall::read, UNKNOWN, 1, 0, Uncompared, Some("unknown")),
        ];
        for (syscall, captured, ret, notes, outcome, kind) in cases {
            let record = record(syscall, captured, ret, notes);
            assert_eq!(compare(&record), (outcome, kind), "{} {captured} {ret}", syscall.name());
            // What is known before the call says the same, but for the kind.
            let (is, op) = (errno(ret), syscall.op().unwrap());
            let said = match expected(record.fact) {
                Expected::Anything(_) => Uncompared,
                _ if is != 0 && tolerated(op).any(|error| error == is) => Uncompared,
                Expected::Value(value) if value == ret => Same,
                Expected::Success if is == 0 => {
                    if notes & CHANGED != 0 {
                        Uncompared
                    } else {
                        Same
                    }
                }
                Expected::Error(error) if error == is => Same,
                _ => Different,
            };
            assert_eq!(said == Different, outcome == Different, "{} {captured} {ret}", syscall.name());
        }
        let inserted = |ret| {
            let mut record = record(Syscall::close, UNKNOWN, ret, 0);
            record.fact.origin = Origin::Reuse as u8;
            record
        };
        assert_eq!(compare(&inserted(0)), (Uncompared, Some("inserted")));
        assert_eq!(compare(&inserted(-9)), (Different, Some("failed")));
    }

    #[test]
    fn every_tolerance_says_why() {
        assert!(TOLERANCES.iter().all(|tolerance| tolerance.reason.len() > 10 && !tolerance.kind.is_empty()));
    }
}
