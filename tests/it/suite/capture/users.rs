//! The user that a process works for, from what was there at the start and from what it set.

use super::*;
use crate::suite::live::with_root;

/// `setpriv` becomes another user and executes a program that reads a file.
#[test]
fn who_a_process_works_for_is_followed() {
    if !with_root() {
        return;
    }
    let dir = open_scratch();
    let file = dir.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let name = file.to_str().unwrap();
    let command = ["--", "setpriv", "--reuid", "54323", "--clear-groups", "sh", "-c", "cat \"$0\"", name];
    for backend in ["ebpf", "ptrace"] {
        let out = dir.path().join(backend);
        let mut args = vec!["--backend", backend];
        args.extend(command);
        capture(0, &out, &args);
        let found = rows(&[&out], &format!("SELECT DISTINCT comm, user_id FROM io WHERE path = '{name}' AND class = 'reads'"));
        assert_eq!(found, ["cat,54323"], "{backend}");
        let before = rows(&[&out], "SELECT DISTINCT user_id FROM io WHERE comm = 'setpriv' AND seq < 5");
        assert_eq!(before, ["0"], "{backend}");
        let sums = rows(&[&out], "SELECT user_id, processes >= 1, read_bytes > 0 FROM user_sums() WHERE user_id = 54323");
        assert_eq!(sums, ["54323,true,true"], "{backend}");
        let tree = number(&[&out], "SELECT count(*) FROM process_tree WHERE comm = 'cat' AND user_id = 54323");
        assert_eq!(tree, 1.0, "{backend}");
    }
}
