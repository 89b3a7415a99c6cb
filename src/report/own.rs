//! Views and macros of the user: SQL files in a directory of theirs, each of which defines one under its name.

use crate::engine::Stage;
use crate::files::{self, Dir};
use crate::generate::own::MAKES;
use crate::schema::Table;
use crate::text::{shown, word};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// Most files that are read.
const MOST: usize = 100;
/// Relations that a query has besides tables of datasets.
pub(super) const TAKEN: &[&str] = &["clock", "manifests", "syscall_def"];

/// The user's own directory for such files: `$XDG_CONFIG_HOME/ioriot/sql`, or the same below `~/.config`. `None` when there is none, or
/// it is not owned by us or others can write to it: under sudo the environment may still name another user's home.
pub fn configured() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let config = config.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    let dir = config.join("ioriot/sql");
    let open = Dir::open(&dir).ok()?;
    (files::mine_open(&open) && files::trusted(&open).is_ok()).then_some(dir)
}

/// The files of a directory whose names end in `.sql`, sorted by name.
///
/// # Errors
/// When there is no such directory, a file is none that can be read, its name is no name of a relation or one that a dataset has,
/// or there are more than `MOST`.
pub fn stages(dir: &Path) -> Result<Vec<Stage>> {
    let open = Dir::open(dir).with_context(|| format!("cannot open {}", word(dir)))?;
    let mut names = Vec::new();
    for (name, _) in open.entries().with_context(|| format!("cannot read {}", word(dir)))? {
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".sql")) else { continue };
        ensure!(names.len() < MOST, "{} has more than {MOST} files with SQL", word(dir));
        names.push(name.to_owned());
    }
    names.sort_unstable();
    let all = names.into_iter().map(|name| stage(&open, name).with_context(|| format!("in {}", word(dir))));
    // A stage of generate may lie beside them.
    let makes = |stage: &Stage| stage.doc().is_ok_and(|doc| !doc.mark(MAKES).is_empty());
    all.filter(|stage| !stage.as_ref().is_ok_and(makes)).collect()
}

fn stage(dir: &Dir, name: String) -> Result<Stage> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let plain = name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit()) && name.bytes().next().is_some_and(letter);
    if !plain {
        bail!("{}.sql: a view is named by lower-case letters, digits and _", shown(&name));
    }
    let known = Table::ALL.iter().map(|table| table.name()).chain(TAKEN.iter().copied()).any(|known| known == name);
    ensure!(!known, "{name}.sql: {name} is a table already");
    let text = dir.text(format!("{name}.sql")).with_context(|| format!("cannot read {name}.sql"))?;
    let sql = String::from_utf8(text).with_context(|| format!("{name}.sql is no UTF-8"))?;
    // It is needed until the process ends, and there are few.
    Ok(Stage { name: name.leak(), sql: sql.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_no_file_with_a_view_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        fs::write(place("b.sql"), "SELECT 1").unwrap();
        fs::write(place("a_1.sql"), "SELECT 2").unwrap();
        fs::write(place("notes.txt"), "no SQL").unwrap();
        let names: Vec<&str> = stages(dir.path()).unwrap().iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["a_1", "b"]);
        for (name, says) in [
            ("events.sql", "a table already"),
            ("syscall_def.sql", "a table already"),
            ("A.sql", "lower-case"),
            ("1.sql", "lower-case"),
            (".sql", "lower-case"),
        ] {
            fs::write(place(name), "SELECT 1").unwrap();
            let error = format!("{:#}", stages(dir.path()).unwrap_err());
            assert!(error.contains(says), "{name}: {error}");
            fs::remove_file(place(name)).unwrap();
        }
        std::os::unix::fs::symlink("/dev/zero", place("z.sql")).unwrap();
        assert!(format!("{:#}", stages(dir.path()).unwrap_err()).contains("symlink"));
        fs::remove_file(place("z.sql")).unwrap();
        fs::write(place("z.sql"), [0xff]).unwrap();
        assert!(format!("{:#}", stages(dir.path()).unwrap_err()).contains("no UTF-8"));
        assert!(stages(&place("none")).is_err());
        (0..=MOST).for_each(|at| fs::write(place(&format!("v{at}.sql")), "SELECT 1").unwrap());
        assert!(format!("{:#}", stages(dir.path()).unwrap_err()).contains("more than 100"));
    }
}
