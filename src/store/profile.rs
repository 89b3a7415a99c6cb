//! Named profiles of the AWS command line: `~/.aws/credentials` and `~/.aws/config`.

use crate::files;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// What a profile holds.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub key: String,
    pub secret: String,
    pub token: Option<String>,
    pub region: Option<String>,
}

/// Reads a profile of the user who runs this.
///
/// # Errors
/// When there is no such profile, it holds no keys, or its file belongs to somebody else, as it does when `HOME` is still that of a
/// user who became root.
pub(super) fn read(name: &str) -> Result<Profile> {
    let text = own(&place("AWS_SHARED_CREDENTIALS_FILE", "credentials")?)?;
    // Only the region comes from the other file, which need not be there.
    let config = place("AWS_CONFIG_FILE", "config").and_then(|file| own(&file)).unwrap_or_default();
    let found = |key: &str| value(&text, name, key);
    let keys = found("aws_access_key_id").zip(found("aws_secret_access_key"));
    let (key, secret) = keys.with_context(|| format!("the profile {name:?} of AWS_PROFILE has no keys"))?;
    let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    let region = value(&config, &section, "region").or_else(|| found("region"));
    Ok(Profile { key, secret, token: found("aws_session_token"), region })
}

/// The file that a variable names, else that of this name in `~/.aws`.
fn place(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(file) = std::env::var_os(variable).filter(|file| !file.is_empty()) {
        return Ok(PathBuf::from(file));
    }
    let home = std::env::var_os("HOME").context("AWS_PROFILE is set, and HOME is not")?;
    Ok(PathBuf::from(home).join(".aws").join(name))
}

/// The text of a file that belongs to this user.
fn own(file: &Path) -> Result<String> {
    let open = files::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    ensure!(files::mine_open(&open), "{} belongs to another user, whose credentials are not used", file.display());
    let text = files::whole(open).with_context(|| format!("cannot read {}", file.display()))?;
    String::from_utf8(text).with_context(|| format!("{} is no UTF-8", file.display()))
}

/// The value of a key in a section.
fn value(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            inside = name.trim() == section;
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_section() {
        let text = "# keys\n[default]\naws_access_key_id = A\n[ other ]\naws_access_key_id=B\naws_secret_access_key = c=d \n";
        assert_eq!(value(text, "default", "aws_access_key_id").as_deref(), Some("A"));
        assert_eq!(value(text, "other", "aws_access_key_id").as_deref(), Some("B"));
        assert_eq!(value(text, "other", "aws_secret_access_key").as_deref(), Some("c=d"));
        assert_eq!(value(text, "default", "aws_secret_access_key"), None);
        assert_eq!(value(text, "none", "aws_access_key_id"), None);
    }
}
