//! Opens and creates the files of ioriot: directories by descriptor, regular files only, no symlinks followed.
//!
//! ```text
//! path of the user ──resolved once, as always──▶ Dir ──openat2: beneath, no symlinks──▶ Dir, File
//!                                                 └─ trusted: may we write, delete, mount here?
//! ```
//! Anybody may have put entries into a dataset, a root or a shared directory: a FIFO whose open blocks forever, a symlink to
//! somewhere else, a directory that is replaced a moment later. So the path that the user typed is resolved once, to a
//! descriptor, and everything below is opened relative to that descriptor (path_resolution(7), openat2(2)).

mod cache;
mod dir;
mod handle;
mod lock;
mod out;
mod trust;
mod walk;

pub use cache::{bring_in, cached, evict, page};
pub use dir::{Dir, Id, beneath, is_dir, no_url, piece};
pub use handle::Handle;
pub use lock::{Lock, busy};
pub use out::write;
pub use trust::{close, mine, mine_open, only_ours, our_group, ours, private, trusted, us};
pub use walk::{clear, remove_tree, size};

use crate::limits::{JSON, VALUES};
use rustix::fs::{FileType, Mode, OFlags};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Flags of open(2) to read a file: does not wait for the writer of a FIFO, does not make a terminal the controlling one, does
/// not follow a symlink.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// Flags of open(2) to create a file for reading and writing; it must not exist yet.
const CREATE: OFlags = OFlags::RDWR.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a regular file for reading. Symlinks among the directories of the path are followed, one at its last name is not.
///
/// # Errors
/// When it cannot be opened, or is not a regular file; the message says what it is.
pub fn open(path: &Path) -> Result<File> {
    regular(rustix::fs::open(path, READ, Mode::empty()))
}

/// Opens an existing regular file for reading and writing; otherwise as [`open`].
///
/// # Errors
/// As [`open`].
pub fn change(path: &Path) -> Result<File> {
    regular(rustix::fs::open(path, READ | OFlags::RDWR, Mode::empty()))
}

/// Creates a file with mode 0600 and opens it for reading and writing; nothing may exist at the path, not even a symlink.
///
/// # Errors
/// When something exists there, or the system refuses.
pub fn create(path: &Path) -> Result<File> {
    Ok(rustix::fs::open(path, CREATE, Mode::RUSR | Mode::WUSR)?.into())
}

/// Creates a temporary file without a name (O_TMPFILE, open(2)), mode 0600, on the file system of directory `dir`. On file
/// systems without such files it is created with a name that is removed at once.
///
/// # Errors
/// When the system refuses.
pub fn nameless(dir: &Path) -> Result<File> {
    use rustix::io::Errno;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => named_for_a_moment(&Dir::open(dir)?),
        made => Ok(made?.into()),
    }
}

fn named_for_a_moment(dir: &Dir) -> Result<File> {
    for number in 0_u64.. {
        let name = format!(".ioriot-{}-{number}", std::process::id());
        match dir.create(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                let file = made?;
                dir.unlink(&name)?;
                return Ok(file);
            }
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Puts a range of a file into a pipe without its bytes passing through this process (sendfile(2)). Gives the number of bytes that
/// went: fewer where the file ends.
///
/// # Errors
/// As sendfile(2), when nothing went.
pub fn send(file: &File, start: u64, count: u64, pipe: impl AsFd) -> Result<u64> {
    let (mut at, end) = (start, start + count);
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX);
        match rustix::fs::sendfile(&pipe, file, Some(&mut at), most) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) if at == start => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok(at - start)
}

/// Reads a whole small file, opened as by [`open`].
///
/// # Errors
/// As [`open`], and when it has more than `JSON` bytes.
pub fn text(path: &Path) -> Result<Vec<u8>> {
    whole(open(path)?)
}

/// Reads the whole of what the user names, which may be no regular file: a pipe of a shell's `<(...)`, `/dev/stdin`.
///
/// # Errors
/// When it cannot be read, or has more than `JSON` bytes.
pub fn given(path: &Path) -> Result<Vec<u8>> {
    whole(File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

/// Writes what is dirty on the file system of a directory back (syncfs(2)).
///
/// # Errors
/// As syncfs(2).
pub fn sync(dir: &Dir) -> Result<()> {
    Ok(rustix::fs::syncfs(dir)?)
}

/// Parses a JSON text into a value of type `T`.
///
/// # Errors
/// When it is not valid JSON, does not fit `T`, or has more than `VALUES` values.
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    // An upper bound: commas in strings are counted, too.
    let values = text.iter().filter(|byte| **byte == b',').count();
    if values > VALUES {
        return Err(refusal(format!("it has {values} values, and {VALUES} are the limit")));
    }
    Ok(serde_json::from_slice(text)?)
}

/// Reads a small text to its end.
///
/// # Errors
/// When it cannot be read, or has more than `JSON` bytes.
pub fn whole(text: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The size in its attributes may have changed by the time it is read.
    text.take(JSON + 1).read_to_end(&mut bytes)?;
    let fits = bytes.len() as u64 <= JSON;
    if fits { Ok(bytes) } else { Err(refusal(format!("it has more than {} MiB", JSON >> 20))) }
}

/// The opened file if it is a regular one; else an error that says what it is.
fn regular(opened: rustix::io::Result<OwnedFd>) -> Result<File> {
    let what = match opened {
        Ok(fd) => match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile => return Ok(fd.into()),
            kind => name(kind),
        },
        // O_NOFOLLOW and RESOLVE_NO_SYMLINKS (openat2(2)); no driver behind it, or a socket (open(2)).
        Err(rustix::io::Errno::LOOP) => "a symlink",
        Err(rustix::io::Errno::NXIO) => "a socket or a dead device",
        Err(error) => return Err(error.into()),
    };
    Err(irregular(what))
}

fn irregular(what: &str) -> Error {
    refusal(format!("it is {what}, and only a regular file is opened here"))
}

/// A kind of file in words, with its article.
fn name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symlink",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

fn refusal(text: String) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        assert_eq!(text(&at("file")).unwrap(), b"text");
        for (name, what) in [("link", "symlink"), ("zero", "symlink"), ("fifo", "FIFO"), ("socket", "socket"), (".", "directory")]
        {
            let error = text(&at(name)).unwrap_err().to_string();
            assert!(error.contains(what), "{name}: {error}");
        }
        assert!(text(Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
        assert_eq!(text(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_text_of_too_many_values_is_refused_before_it_is_parsed() {
        let of = |commas: usize| json::<serde::de::IgnoredAny>(format!("[0{}]", ",0".repeat(commas)).as_bytes());
        assert!(of(VALUES).is_ok());
        assert!(of(VALUES + 1).unwrap_err().to_string().contains(&format!("it has {} values", VALUES + 1)));
    }

    #[test]
    fn a_small_text_is_small() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("huge")).unwrap();
        file.set_len(JSON).unwrap();
        assert_eq!(text(&dir.path().join("huge")).unwrap().len() as u64, JSON);
        file.set_len(1 << 40).unwrap();
        assert!(text(&dir.path().join("huge")).unwrap_err().to_string().contains("more than 64 MiB"));
    }

    #[test]
    fn a_file_without_a_name_is_a_file() {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!(".ioriot-{}-0", std::process::id())), "theirs").unwrap();
        for file in [nameless(dir.path()).unwrap(), named_for_a_moment(&Dir::open(dir.path()).unwrap()).unwrap()] {
            file.write_all_at(b"text", 0).unwrap();
            let (mut read, meta) = ([0; 4], file.metadata().unwrap());
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!((&read, meta.nlink(), meta.permissions().mode() & 0o7777), (b"text", 0, 0o600));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(nameless(&dir.path().join("none")).is_err());
    }

    #[test]
    fn a_file_is_made_new_and_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("target", at("link")).unwrap();
        create(&at("file")).unwrap();
        assert_eq!(fs::metadata(at("file")).unwrap().permissions().mode() & 0o7777, 0o600);
        for name in ["file", "link"] {
            assert_eq!(create(&at(name)).unwrap_err().kind(), ErrorKind::AlreadyExists, "{name}");
        }
        assert!(!at("target").exists());
    }
}
