//! Where the prompt keeps what was typed.

use crate::files::{self, Dir};
use std::path::{Path, PathBuf};

/// File of the prompt's history: `$XDG_STATE_HOME/ioriot/history`, or the same below `~/.local/state`. `None` when it
/// or its directory is not owned by us: under sudo the environment may still name another user's home.
pub fn file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let (dir, file) = (state.join("ioriot"), state.join("ioriot/history"));
    let there = state.ancestors().find(|dir| dir.symlink_metadata().is_ok())?;
    let all = [there, &dir, &file].into_iter().all(ours);
    all.then_some(file)
}

/// Is there nothing at this path, or something that we own and nobody else can write? False for a symlink, whose mode
/// lets everybody write.
fn ours(path: &Path) -> bool {
    Dir::around(path).and_then(|(dir, name)| dir.look(name)).map_or(true, |stat| files::mine(&stat))
}

#[cfg(test)]
mod tests {
    use super::ours;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_history_of_somebody_else_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        assert!(ours(dir.path()) && ours(&place("none")));
        fs::write(place("mine"), "").unwrap();
        assert!(ours(&place("mine")));
        symlink(place("mine"), place("link")).unwrap();
        assert!(!ours(&place("link")));
        fs::set_permissions(place("mine"), Permissions::from_mode(0o666)).unwrap();
        assert!(!ours(&place("mine")));
        assert!(!ours(std::path::Path::new("/tmp")), "everybody can write there");
        fs::write(place("foreign"), "").unwrap();
        if std::os::unix::fs::chown(place("foreign"), Some(12345), None).is_ok() {
            assert!(!ours(&place("foreign")));
        }
    }
}
