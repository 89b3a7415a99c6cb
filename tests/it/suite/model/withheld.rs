//! What failed because of where it ran, and would do something elsewhere.

use super::{event, needs, open, words};
use ioriot::event::{AT_FDCWD, Col, Event, Text};
use ioriot::fate::Reason;
use ioriot::model::{Config, Kind, Model, Rows};
use ioriot::syscall::{Syscall, flag};

fn failed(syscall: Syscall, ints: &[(Col, i64)], texts: &[(Text, &str)], errno: i32) -> Event {
    event(syscall, ints, texts, -i64::from(errno))
}

/// What becomes of a call behind three opens: of two files, and of one without the page cache.
fn fate(event: &Event, config: Config) -> String {
    let (rdwr, direct) = (flag::O_RDWR, i64::from(libc::O_RDWR | libc::O_DIRECT));
    let (mut model, mut rows) = (Model::new(config), Rows::default());
    let events = [open("/a", rdwr, 3, ""), open("/b", rdwr, 4, ""), open("/c", direct, 5, ""), event.clone()];
    events.iter().for_each(|event| model.step(event, &mut rows));
    let step = &rows.list.last().unwrap().step;
    assert!(step.reason != Some(Reason::Withheld) || !step.on_file, "it does not count against coverage");
    step.reason.map_or(step.fate.name(), |reason| reason.name()).into()
}

#[test]
fn what_is_due_to_the_place_and_would_change_something_is_withheld() {
    use libc::{
        EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EINVAL, EMLINK, ENAMETOOLONG, ENODATA, ENOENT, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM,
        EROFS, ETXTBSY, EXDEV,
    };
    let (a, b, direct, count) = ((Col::Fd, 3), (Col::Fd2, 4), (Col::Fd, 5), (Col::Count, 100));
    let flags = |flags| (Col::Flags, flags);
    let clone = [a, (Col::Cmd, flag::FICLONE), (Col::Arg, 4)];
    let (from, to) = ([(Col::Offset, 0), (Col::Offset2, 50)], (Col::Fd2, 3));
    let data = [
        (Syscall::ioctl, clone.to_vec(), vec![EXDEV, EOPNOTSUPP, EINVAL, ENOTTY], "withheld"),
        (Syscall::ioctl, vec![a, (Col::Cmd, 0x5401)], vec![ENOTTY, EINVAL], "op"),
        (Syscall::copy_file_range, vec![a, b, count], vec![EXDEV, EOPNOTSUPP, EINVAL, ENOSYS], "withheld"),
        // Its flags are none, and its ranges overlap, anywhere.
        (Syscall::copy_file_range, vec![a, b, count, flags(1)], vec![EINVAL], "op"),
        (Syscall::copy_file_range, vec![a, to, count, from[0], from[1]], vec![EINVAL], "op"),
        (Syscall::sendfile, vec![a, b, count], vec![EAGAIN], "op"),
        (Syscall::fallocate, vec![a, flags(0), (Col::Offset, 0), count], vec![EOPNOTSUPP, EINVAL], "withheld"),
        (Syscall::fallocate, vec![a, flags(0), (Col::Offset, 0), (Col::Count, 0)], vec![EINVAL], "op"),
        (Syscall::write, vec![a, count], vec![EAGAIN], "withheld"),
        (Syscall::write, vec![a, count], vec![EBADF, EINVAL], "op"),
        (Syscall::write, vec![direct, count], vec![EINVAL], "withheld"),
        // A read moves the shared position; one that is given a position changes nothing.
        (Syscall::read, vec![direct, count], vec![EINVAL, EAGAIN], "withheld"),
        (Syscall::pread64, vec![direct, count, (Col::Offset, 1)], vec![EINVAL, EAGAIN], "op"),
        (Syscall::lseek, vec![a, (Col::Offset, 0), (Col::Whence, 4)], vec![EINVAL], "withheld"),
        (Syscall::lseek, vec![a, (Col::Offset, -1), (Col::Whence, 0)], vec![EINVAL], "op"),
        (Syscall::fchmod, vec![a, (Col::Mode, 0o600)], vec![EROFS], "withheld"),
        (Syscall::fstat, vec![a], vec![ENOSYS], "op"),
    ];
    for (syscall, ints, errors, expected) in data {
        for errno in errors {
            assert_eq!(fate(&failed(syscall, &ints, &[], errno), Config::default()), expected, "{syscall:?} {ints:?} {errno}");
        }
    }
    let long = format!("/d/{}", "x".repeat(300));
    let (x, at) = ((Text::Path, "/d/x"), [(Col::DirFd, AT_FDCWD), (Col::DirFd2, AT_FDCWD)]);
    let (y, below) = ((Text::Path2, "/e/y"), (Text::Path2, "/d/x/y"));
    let names = [
        (Syscall::rename, vec![], vec![x, y], EXDEV, "withheld"),
        (Syscall::link, vec![], vec![x, y], EXDEV, "withheld"),
        (Syscall::link, vec![], vec![x, y], EMLINK, "withheld"),
        (Syscall::rename, vec![], vec![x, y], ENOENT, "op"),
        (Syscall::renameat2, vec![at[0], at[1], flags(2)], vec![x, y], EINVAL, "withheld"),
        (Syscall::renameat2, vec![at[0], at[1], flags(2)], vec![x, below], EINVAL, "op"),
        (Syscall::renameat2, vec![at[0], at[1], flags(3)], vec![x, y], EINVAL, "op"),
        (Syscall::mkdir, vec![], vec![x], EROFS, "withheld"),
        (Syscall::mkdir, vec![], vec![x], EACCES, "credentials"),
        (Syscall::mkdir, vec![], vec![x], EEXIST, "op"),
        (Syscall::mkdir, vec![], vec![x], ENAMETOOLONG, "withheld"),
        (Syscall::mkdir, vec![], vec![(Text::Path, &long)], ENAMETOOLONG, "op"),
        (Syscall::rmdir, vec![], vec![x], EBUSY, "withheld"),
        (Syscall::rmdir, vec![], vec![(Text::Path, "/")], EBUSY, "op"),
        (Syscall::openat, vec![at[0], flags(flag::O_CREAT)], vec![x], EROFS, "withheld"),
        (Syscall::openat, vec![at[0], flags(flag::O_RDWR)], vec![x], ETXTBSY, "op"),
        (Syscall::openat, vec![at[0], flags(flag::O_RDWR | flag::O_TRUNC)], vec![x], ETXTBSY, "withheld"),
        (Syscall::openat2, vec![at[0], flags(flag::O_CREAT), (Col::Resolve, 1)], vec![x], EXDEV, "withheld"),
        (Syscall::openat2, vec![at[0], flags(flag::O_CREAT), (Col::Resolve, 8)], vec![x], EXDEV, "op"),
        (Syscall::access, vec![(Col::Mode, 2)], vec![x], EROFS, "credentials"),
        (Syscall::truncate, vec![count], vec![x], EROFS, "withheld"),
        (Syscall::setxattr, vec![count], vec![x, (Text::Name, "user.z")], EOPNOTSUPP, "withheld"),
        (Syscall::setxattr, vec![count], vec![x, (Text::Name, "security.z")], EPERM, "withheld"),
        (Syscall::setxattr, vec![count], vec![x, (Text::Name, "trusted.z")], 0, "withheld"),
        (Syscall::removexattr, vec![], vec![x, (Text::Name, "trusted.z")], 0, "withheld"),
        (Syscall::setxattr, vec![count], vec![x, (Text::Name, "user.z")], 0, "op"),
        (Syscall::getxattr, vec![count], vec![x, (Text::Name, "security.z")], 0, "withheld"),
        (Syscall::getxattr, vec![count], vec![x, (Text::Name, "security.z")], ENODATA, "op"),
    ];
    for (syscall, ints, texts, errno, expected) in names {
        assert_eq!(fate(&failed(syscall, &ints, &texts, errno), Config::default()), expected, "{syscall:?} {texts:?} {errno}");
    }
}

/// The replay has mount points where the capture had them, so that renames across them fail again.
#[test]
fn a_rename_across_a_known_mount_point_is_issued() {
    let mounts = || Config::of_mounts([(&b"/"[..], false), (&b"/m"[..], false), (&b"/proc"[..], true)]);
    for (one, other, expected) in [("/m/x", "/y", "op"), ("/m/x", "/m/y", "withheld"), ("/x", "/y", "withheld")] {
        let event = failed(Syscall::rename, &[], &[(Text::Path, one), (Text::Path2, other)], libc::EXDEV);
        assert_eq!(fate(&event, mounts()), expected, "{one} {other}");
    }
}

#[test]
fn a_copy_to_another_file_system_ends_as_it_did() {
    let (from, to) = ((Col::Fd, 3), (Col::Fd2, 4));
    let made = flag::O_CREAT | flag::O_TRUNC | flag::O_RDWR;
    let count = (Col::Count, 100_000);
    let names = [(Text::Path, "/d/in"), (Text::Path2, "/m/moved")];
    let (said, end) = words(&[
        open("/d/in", 0, 3, ""),
        open("/m/out", made, 4, ""),
        failed(Syscall::ioctl, &[(Col::Fd, 4), (Col::Cmd, flag::FICLONE), (Col::Arg, 3)], &[], libc::EXDEV),
        failed(Syscall::copy_file_range, &[from, to, count], &[], libc::EXDEV),
        event(Syscall::read, &[from, count], &[], 100_000),
        event(Syscall::write, &[(Col::Fd, 4), count], &[], 100_000),
        failed(Syscall::rename, &[], &names, libc::EXDEV),
        failed(Syscall::setxattr, &[count], &[names[0], (Text::Name, "trusted.z")], 0),
    ]);
    assert_eq!(said[..8], ["op", "op", "withheld", "withheld", "op", "op", "withheld", "withheld"]);
    // A dropped call still proves what it proves, and no attribute is asked of the tree that none can make.
    assert_eq!(needs(&end), ["dir /d", "file /d/in", "dir /m"]);
    assert!(end.needs.iter().all(|need| need.xattrs.is_empty()));
    let left = |path: &str| end.expects.iter().find(|file| *file.path == *path.as_bytes()).map(|file| (file.kind, file.size));
    assert_eq!(left("/m/out"), Some((Kind::File, Some(100_000))));
    assert_eq!((left("/d/in").map(|(kind, _)| kind), left("/m/moved").map(|(kind, _)| kind)), (Some(Kind::File), None));
}
