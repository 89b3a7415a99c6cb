//! What stands in a line beside what a call has is not overlooked, and what a kernel refuses was not done.

use super::rejected;
use crate::ingest::parse::Why;

#[test]
fn an_empty_name_stands_for_a_descriptor_only_where_a_flag_says_so() {
    for line in [
        r#"newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=5, ...}, 0) = 0"#,
        r#"statx(3, "", AT_STATX_SYNC_AS_STAT, STATX_ALL, {stx_mask=0, ...}) = 0"#,
        r#"faccessat2(3, "", R_OK, AT_EACCESS) = 0"#,
        r#"fchownat(3, "", 0, 0, AT_SYMLINK_NOFOLLOW) = 0"#,
        r#"utimensat(3, "", NULL, 0) = 0"#,
        r#"unlinkat(3, "", 0) = 0"#,
        r#"linkat(3, "", 4, "b", 0) = 0"#,
        r#"linkat(3, "", 4, "", AT_EMPTY_PATH) = 0"#,
        r#"execveat(3, "", ["a"], NULL, 0) = 0"#,
        r#"name_to_handle_at(3, "", {handle_bytes=8}, [22], 0) = 0"#,
        r#"inotify_add_watch(3, "", IN_MODIFY) = 1"#,
        r#"mount("a", "", NULL, MS_BIND, NULL) = 0"#,
        r#"setxattr("a", "", "v", 1, 0) = 0"#,
    ] {
        assert_eq!(rejected(line), Some(Why::Impossible), "{line}");
    }
    for line in [
        r#"newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=5, ...}, AT_EMPTY_PATH) = 0"#,
        "newfstatat(3, NULL, {st_mode=S_IFREG|0644, st_size=5, ...}, AT_EMPTY_PATH) = 0",
        r#"newfstatat(3, "", 0x7ffd, 0) = -1 ENOENT (No such file or directory)"#,
        "utimensat(3, NULL, NULL, 0) = 0",
        r#"readlinkat(3, "", "b", 9) = 1"#,
        r#"linkat(3, "", 4, "b", AT_EMPTY_PATH) = 0"#,
        r#"mount("", "/b", "tmpfs", 0, NULL) = 0"#,
        r#"open_tree(3, "", OPEN_TREE_CLONE|AT_EMPTY_PATH) = 4"#,
        r#"move_mount(4, "", AT_FDCWD, "/b", MOVE_MOUNT_F_EMPTY_PATH) = 0"#,
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}

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
