//! Names and numbers as keyed hashes (BLAKE3).
//!
//! A name of a path becomes the beginning of its hash in base 32, 13 characters, which two of a million different names share with a
//! chance of 1 in 70 million; behind it stays the extension. `--keep-lengths` gives each name its length back: what is too short for a
//! hash that nobody shares gets one that no other name of this run has.

use crate::model::PSEUDO;
use anyhow::{Result, bail, ensure};
use hashbrown::HashMap;
use std::borrow::Cow;

/// Characters of hashes: no two of them differ by case alone.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Characters of a hash.
const HASH: usize = 13;
/// From this length on hashes are taken for unique; shorter ones are remembered.
const UNIQUE: usize = 10;
/// Longest extension that is kept.
const EXTENSION: usize = 5;
/// Longest path that the kernel takes, with the byte behind it (PATH_MAX).
const PATH: usize = libc::PATH_MAX as usize;
/// Longest name on Linux file systems (NAME_MAX).
const NAME: usize = 255;
/// Tries to find a short name that no other has.
const TRIES: u32 = 100_000;
/// Names that mean something by themselves to the kernel and to the model, beside those of [`PSEUDO`]; all else is hashed.
const KEPT: &[&[u8]] = &[
    b"",
    b".",
    b"..",
    b"self",
    b"thread-self",
    b"task",
    b"fd",
    b"fdinfo",
    b"cwd",
    b"root",
    b"exe",
    b"ns",
    b"null",
    b"zero",
    b"full",
    b"random",
    b"urandom",
    b"tty",
    b"ptmx",
    b"stdin",
    b"stdout",
    b"stderr",
];
/// Parts of a description of something that has no name, with a number or a kind in brackets behind it.
const NAMELESS: &[&[u8]] = &[b"pipe:[", b"socket:[", b"anon_inode:"];
/// What Linux writes behind the path of a file whose name is gone.
const DELETED: &[u8] = b" (deleted)";
/// Name spaces of extended attributes (xattr(7)), and those names in them that the kernel knows.
const SPACES: &[&[u8]] = &[b"user.", b"trusted.", b"security.", b"system.", b"fuse."];
const ATTRIBUTES: &[&[u8]] = &[
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"security.capability",
    b"security.selinux",
    b"security.ima",
    b"security.evm",
];

/// Makes hashes of names with one key.
pub struct Names {
    hasher: blake3::Hasher,
    lengths: bool,
    /// Short names that were given, and whose they are: a hash of the original.
    short: HashMap<Vec<u8>, [u8; 16]>,
    hashed: u64,
}

impl Names {
    /// Hashes with this key; `lengths`: each as long as the name.
    pub fn new(key: &[u8], lengths: bool) -> Names {
        let key = blake3::derive_key("ioriot anonymise 2026 names", key);
        Names { hasher: blake3::Hasher::new_keyed(&key), lengths, short: HashMap::new(), hashed: 0 }
    }

    /// How many names were hashed.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Fills `out` with the hash of something of this sort.
    fn hash(&self, sort: &str, bytes: &[u8], out: &mut [u8]) {
        let mut hasher = self.hasher.clone();
        hasher.update(sort.as_bytes()).update(&[0]).update(bytes);
        hasher.finalize_xof().fill(out);
    }

    /// The hash as characters.
    fn letters(&self, sort: &str, bytes: &[u8], length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.hash(sort, bytes, &mut out);
        out.iter_mut().for_each(|byte| *byte = LETTERS[usize::from(*byte % 32)]);
        out
    }

    /// A short word (a host, the name of a process), as long as asked.
    pub fn word(&self, sort: &str, bytes: &[u8], length: usize) -> Vec<u8> {
        self.letters(sort, bytes, length)
    }

    /// A user or group id: root, and what stands for none, stay.
    pub fn id(&self, id: i64) -> i64 {
        if id <= 0 || id == i64::from(u32::MAX) {
            return id;
        }
        let mut out = [0; 4];
        self.hash("id", &id.to_le_bytes(), &mut out);
        10_000 + i64::from(u32::from_le_bytes(out) >> 2)
    }

    /// An inode number: 0, which stands for none, stays.
    pub fn inode(&self, inode: i64) -> i64 {
        if inode == 0 {
            return 0;
        }
        let mut out = [0; 8];
        self.hash("inode", &inode.to_le_bytes(), &mut out);
        (u64::from_le_bytes(out) >> 2).cast_signed()
    }

    /// The name of an extended attribute, or of a kind of file system, which has no dot or begins with `fuse.`.
    pub fn attribute<'a>(&mut self, name: &'a [u8]) -> Cow<'a, [u8]> {
        let plain = name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
        if ATTRIBUTES.contains(&name) || plain && name.len() <= 16 {
            return Cow::Borrowed(name);
        }
        let space = SPACES.iter().find(|space| name.starts_with(space)).map_or(0, |space| space.len());
        self.hashed += 1;
        let mut out = name[..space].to_vec();
        let length = if self.lengths { name.len() - space } else { HASH };
        out.extend(self.letters("attribute", &name[space..], length));
        Cow::Owned(out)
    }

    /// A path, or what a descriptor is open on: each name in it by itself.
    ///
    /// # Errors
    /// When it becomes longer than a path can be.
    pub fn path(&mut self, path: &[u8]) -> Result<Vec<u8>> {
        let (path, deleted) = match path.strip_suffix(DELETED) {
            Some(path) => (path, true),
            None => (path, false),
        };
        let most = PATH.max(path.len());
        let mut out = Vec::with_capacity(path.len() + 16);
        if !self.nameless(path, &mut out) {
            // What is too long for the kernel is to stay so.
            let lengths = self.lengths || path.len() >= PATH;
            let mut before: &[u8] = b"";
            for (at, name) in path.split(|byte| *byte == b'/').enumerate() {
                if at > 0 {
                    out.push(b'/');
                }
                let number = !name.is_empty()
                    && name.iter().all(u8::is_ascii_digit)
                    && matches!(before, b"proc" | b"fd" | b"task" | b"fdinfo");
                if number || kept(name) {
                    out.extend(name)
                } else {
                    self.name(name, lengths, &mut out)?
                }
                before = name;
            }
        }
        ensure!(out.len() <= most, "a path of {} bytes becomes one of {}: use --keep-lengths", path.len(), out.len());
        if deleted {
            out.extend(DELETED);
        }
        Ok(out)
    }

    /// Writes what something without a name is open on: `pipe:[7]` as it is, an address as its hash. False for a path.
    fn nameless(&mut self, path: &[u8], out: &mut Vec<u8>) -> bool {
        if path.contains(&b'/') && !path.contains(&b'[') || path.starts_with(b"/") {
            return false;
        }
        let plain = |rest: &[u8]| rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"[]_-".contains(byte));
        if NAMELESS.iter().any(|kind| path.strip_prefix(*kind).is_some_and(plain)) {
            out.extend(path);
            return true;
        }
        // TCP:[127.0.0.1:1->127.0.0.1:2], as strace -yy has it.
        let Some(colon) = memchr::memmem::find(path, b":[").filter(|colon| path[..*colon].iter().all(u8::is_ascii_uppercase))
        else {
            return false;
        };
        out.extend(&path[..colon + 2]);
        out.extend(self.letters("address", &path[colon..], HASH));
        out.push(b']');
        self.hashed += 1;
        true
    }

    fn name(&mut self, name: &[u8], lengths: bool, out: &mut Vec<u8>) -> Result<()> {
        self.hashed += 1;
        let stem = name.len() - extension(name).len();
        if !lengths && name.len() <= NAME {
            out.extend(self.letters("name", name, HASH));
        } else if stem >= UNIQUE {
            out.extend(self.letters("name", name, stem));
        } else {
            let given = self.short(name, stem)?;
            out.extend(given);
        }
        out.extend(&name[stem..]);
        Ok(())
    }

    /// A name for a short one, of the same length, that is given to no other one.
    fn short(&mut self, name: &[u8], stem: usize) -> Result<Vec<u8>> {
        let mut mark = [0; 16];
        self.hash("mark", name, &mut mark);
        for turn in 0..TRIES {
            let mut tried = name.to_vec();
            tried.extend(turn.to_le_bytes());
            let given = self.letters("short", &tried, stem);
            let whole = [&given[..], &name[stem..]].concat();
            if kept(&whole) {
                continue;
            }
            match self.short.get(&whole) {
                Some(owner) if *owner != mark => continue,
                Some(_) => {}
                None => drop(self.short.insert(whole, mark)),
            }
            return Ok(given);
        }
        bail!("there are more names of {stem} characters than there are hashes of that length: leave out --keep-lengths")
    }
}

/// Does a name mean something by itself?
fn kept(name: &[u8]) -> bool {
    KEPT.contains(&name) || PSEUDO.iter().any(|(path, _)| path.as_bytes().split(|byte| *byte == b'/').any(|known| known == name))
}

/// The extension of a name with its dot: up to five letters and digits behind the last dot, which is not the first character.
fn extension(name: &[u8]) -> &[u8] {
    let Some(dot) = memchr::memrchr(b'.', name).filter(|dot| *dot > 0) else { return b"" };
    let short = (2..=EXTENSION + 1).contains(&(name.len() - dot));
    if short && name[dot + 1..].iter().all(u8::is_ascii_alphanumeric) { &name[dot..] } else { b"" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn names(lengths: bool) -> Names {
        Names::new(b"0123456789abcdef", lengths)
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_tree_keeps_its_shape() {
        let mut names = names(false);
        let mut path = |path: &str| text(&names.path(path.as_bytes()).unwrap());
        let whole = path("/srv/customers/smith.db");
        let parts: Vec<&str> = whole.split('/').collect();
        assert!(parts.len() == 4 && whole.ends_with(".db") && parts[3].len() == HASH + 3, "{whole}");
        assert_eq!(path("/srv/customers"), parts[..3].join("/"));
        assert_eq!(path("customers//smith.db/"), format!("{}//{}/", parts[2], parts[3]));
        assert_eq!(path("../customers/./x").split('/').next(), Some(".."));
        assert_eq!(path("/srv/customers/smith.db (deleted)"), format!("{whole} (deleted)"));
        assert_ne!(path("Smith.db"), path("smith.db"));
        for same in [
            "/proc/self/fd/7",
            "/proc/123/task/124/fd",
            "/dev/null",
            "pipe:[77]",
            "socket:[5]",
            "anon_inode:[eventpoll]",
            "",
            "/",
        ] {
            assert_eq!(path(same), same);
        }
        for name in ["TCP:[10.1.2.3:5->10.9.8.7:80]", "UNIX:[77,\"/run/secret\"]"] {
            let hashed = path(name);
            assert!(hashed.starts_with(&name[..name.find('[').unwrap() + 1]) && hashed.ends_with(']'), "{hashed}");
            assert!(!hashed.contains("10.") && !hashed.contains("secret"), "{hashed}");
        }
        for (name, kept) in [("archive.tar", ".tar"), (".hidden", ""), ("a.longext", ""), ("a.b c", ""), ("a.", "")] {
            assert_eq!(text(extension(name.as_bytes())), kept);
        }
    }

    #[test]
    fn another_key_gives_other_names() {
        let one = names(false).path(b"/a/b").unwrap();
        assert_eq!(one, names(false).path(b"/a/b").unwrap());
        assert_ne!(one, Names::new(b"0123456789abcdeg", false).path(b"/a/b").unwrap());
    }

    #[test]
    fn names_keep_their_lengths_and_stay_different() {
        let mut names = names(true);
        let mut seen = HashSet::new();
        let letters = (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9');
        let two: Vec<Vec<u8>> = letters.clone().flat_map(|one| letters.clone().take(10).map(move |two| vec![one, two])).collect();
        for name in &two {
            let given = names.path(name).unwrap();
            assert!(given.len() == 2 && seen.insert(given.clone()), "{given:?}");
            assert_eq!(names.path(name).unwrap(), given);
        }
        for name in ["a", "data.txt", "a-long-name-with-words.sqlite3", &"x".repeat(300), &"d/".repeat(3000)] {
            assert_eq!(names.path(name.as_bytes()).unwrap().len(), name.len());
        }
        // There are 32 names of one character; more cannot be told apart.
        let all: Vec<_> = letters.map(|letter| names.path(&[letter])).collect();
        assert!(all.iter().filter(|given| given.is_ok()).count() == 32 && all.iter().any(Result::is_err));
    }

    #[test]
    fn what_is_too_long_stays_so_and_nothing_becomes_so() {
        let mut names = names(false);
        assert_eq!(names.path(&[b'x'; 300]).unwrap().len(), 300);
        assert!(names.path(&b"y/".repeat(2100)).unwrap().len() >= PATH);
        let error = names.path(&b"y/".repeat(1000)).unwrap_err().to_string();
        assert!(error.contains("--keep-lengths"), "{error}");
    }

    #[test]
    fn numbers_and_attributes() {
        let mut names = names(false);
        for same in [0, -1, i64::from(u32::MAX)] {
            assert_eq!(names.id(same), same);
        }
        assert!(names.id(1000) >= 10_000 && names.id(1000) != names.id(1001) && names.id(1000) == names.id(1000));
        assert!(names.inode(0) == 0 && names.inode(77) > 0 && names.inode(77) != names.inode(78));
        let mut attribute = |name: &str| text(&names.attribute(name.as_bytes()));
        for same in ["system.posix_acl_access", "ext4", "tmpfs"] {
            assert_eq!(attribute(same), same);
        }
        assert!(attribute("user.owner.smith").starts_with("user.") && !attribute("user.owner.smith").contains("smith"));
        assert!(attribute("fuse.company").starts_with("fuse.") && !attribute("fuse.company").contains("company"));
        assert!(!attribute("Company").contains("Company"));
    }
}
