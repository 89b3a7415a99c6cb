//! Tells by its first bytes what kind of file a user has named.

use super::{Format, Input};
use crate::progress::Progress;
use memchr::memmem;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Kind of file that a user has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A text capture that `ioriot ingest` reads.
    Trace(Format),
    /// A `.replay` file of I/O Riot in C, which cannot be read any more.
    Replay,
    /// Any other file.
    Other,
}

/// Looks at the start of a regular file; `None` when there is none, or it cannot be read.
pub fn look(path: &Path) -> Option<Look> {
    // Opening a FIFO would make its writer believe that its reader has come.
    if !path.metadata().is_ok_and(|meta| meta.is_file()) {
        return None;
    }
    let (progress, stop) = (Progress::default(), AtomicBool::new(false));
    let first = Input::Path(path.to_owned()).open(&progress, &stop).ok()?.chunk().ok()?;
    let start = first.map(|chunk| chunk.bytes).unwrap_or_default();
    Some(match Format::detect(&start) {
        _ if is_replay(&start) => Look::Replay,
        Some(format) => Look::Trace(format),
        None => Look::Other,
    })
}

/// Is this the start of a `.replay` file? Its first line is a comment with pairs `key=value`, in any order, one of
/// which is `replay_version`.
pub fn is_replay(start: &[u8]) -> bool {
    let first = start.split(|c| *c == b'\n').next().unwrap_or_default();
    first.starts_with(b"#|") && memmem::find(first, b"|replay_version=").is_some()
}

/// Message that says what to do instead of reading a `.replay` file.
pub fn instead(name: &str) -> String {
    let stem = name.trim_end_matches(".gz").trim_end_matches(".zst").trim_end_matches(".replay");
    format!(
        "{name} is a .replay file of I/O Riot in C, which no longer has all that the program did: `ioriot run {stem}.capture` \
         takes the .capture it was made of; without that, capture again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replay_files_of_every_version_are_known() {
        assert!(is_replay(b"#|replay_version=3|init_offset=300|user=nobody|name=test0|####\n1|2|3"));
        assert!(is_replay(b"#|num_timelines=5|num_lines=55040114|replay_version=1|user=u|name=t|init_offset=7|\n"));
        assert!(!is_replay(b"#|capture_version=3|\nt=1;:,D=1;:,i=1:1;:,o=sync;:,s=0;:,\n#|replay_version=3|"));
        assert!(!is_replay(b"1 read(3, \"|replay_version=3|\", 100) = 18\n"));
        assert!(instead("a/io.replay").contains("`ioriot run a/io.capture`"));
    }

    #[test]
    fn a_file_is_what_its_start_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        for (text, is) in [
            ("#|replay_version=3|name=t|\n", Look::Replay),
            ("#|capture_version=4|\n", Look::Trace(Format::Capture)),
            ("1 read(3, \"\", 10) = 0\n", Look::Trace(Format::Strace)),
            ("hello\n", Look::Other),
            ("", Look::Other),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(look(&file), Some(is), "{text}");
        }
        assert_eq!((look(dir.path()), look(&dir.path().join("none"))), (None, None));
    }
}
