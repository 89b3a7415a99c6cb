//! Working directories whose path is too long for one call: programs get there step by step.

use crate::files::piece;
use std::io::Error;

/// Changes to a directory in pieces of its path, each from where the one before has led; returns 0 or `-errno`. After an error the
/// working directory is any on the way.
#[cold]
pub fn enter(mut path: &[u8]) -> i64 {
    let mut buffer = [0u8; libc::PATH_MAX as usize];
    loop {
        let (name, more) = piece(path).map_or((path, None), |(piece, more)| (piece, Some(more)));
        let Some(room) = buffer.get_mut(..name.len() + 1) else { return -i64::from(libc::ENAMETOOLONG) };
        room[..name.len()].copy_from_slice(name);
        room[name.len()] = 0;
        // SAFETY: the text ends in NUL.
        if unsafe { libc::chdir(buffer.as_ptr().cast()) } != 0 {
            return -i64::from(Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        }
        match more {
            Some(more) => path = more,
            None => return 0,
        }
    }
}
