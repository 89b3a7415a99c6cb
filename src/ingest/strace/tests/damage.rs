//! What stands in a line beside what a call has is not overlooked, and what a kernel refuses was not done.

use super::rejected;
use crate::ingest::parse::Why;

#[test]
fn an_error_has_its_own_words_or_those_of_no_other() {
    for line in [
        "close(3) = -1 ENOENT (Permission denied)",
        "close(3) = -1 EBADF (Success)",
        "frob(3) = -1 EPERM (Bad file descriptor) <0.1>",
        "close(3) = ? ERESTARTSYS (No such file or directory)",
    ] {
        assert_eq!(rejected(line), Some(Why::Outcome), "{line}");
    }
    for line in [
        r#"access("/x", F_OK) = -1 ENOENT (No such file or directory)"#,
        r#"access("/x", F_OK) = -1 ENOENT (Datei oder Verzeichnis nicht gefunden)"#,
        "ioctl(1, TCGETS, 0x7ffd) = -1 ENOTTY (Not a tty)",
        "fallocate(3, 0, 0, 4096) = -1 EOPNOTSUPP (Not supported)",
        "read(3, 0x7ffd, 5) = -1 EWOULDBLOCK (Resource temporarily unavailable)",
        "close(3) = -1 EIO (Input/output error) (INJECTED)",
        "close(3) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)",
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}
