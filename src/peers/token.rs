//! A secret that all machines have in a file, of which none goes over the network: a key is derived from it for each purpose.

use crate::files;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::path::Path;

/// Least number of bytes of a secret.
const LEAST: usize = 16;

/// What a key is for. The key for one does not open the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The machines of `ioriot cluster`.
    Cluster,
    /// The servers of `ioriot serve`.
    Replays,
}

impl Purpose {
    /// The context string of the derivation (BLAKE3, section 2.3 of its paper).
    fn context(self) -> &'static str {
        match self {
            Purpose::Cluster => "ioriot 2026-11-30 token of a cluster",
            Purpose::Replays => "ioriot 2026-11-30 token of a server of replays",
        }
    }
}

/// What who asks must show.
#[derive(Clone)]
pub struct Token(blake3::Hash);

impl Token {
    /// Reads the secret from a file; white space around it does not count.
    ///
    /// # Errors
    /// When it cannot be read, or is so short that it could be guessed.
    pub fn read(file: &Path, purpose: Purpose) -> Result<Token> {
        let secret = files::given(file).with_context(|| format!("cannot read the token in {}", file.display()))?;
        let secret = secret.trim_ascii();
        ensure!(secret.len() >= LEAST, "the token in {} has {} bytes: {LEAST} at least", file.display(), secret.len());
        Ok(Token(blake3::Hash::from(blake3::derive_key(purpose.context(), secret))))
    }

    /// The key as it is shown, in hexadecimal digits.
    pub fn shown(&self) -> String {
        self.0.to_hex().to_string()
    }

    /// Whether what was shown is this key. All of it is compared, whatever differs first.
    pub fn is(&self, shown: &str) -> bool {
        blake3::Hash::from_hex(shown).is_ok_and(|key| key == self.0)
    }
}

/// Nothing of the key.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str, purpose: Purpose) -> Result<Token> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), secret).unwrap();
        Token::read(&dir.path().join("token"), purpose)
    }

    #[test]
    fn only_the_same_token_opens_and_for_its_purpose_only() {
        let secret = "0123456789abcdef";
        let known = token(secret, Purpose::Cluster).unwrap();
        assert!(known.is(&token(&format!("\n{secret}\n"), Purpose::Cluster).unwrap().shown()));
        let others = [token("0123456789abcdeF", Purpose::Cluster), token(secret, Purpose::Replays)];
        let others = others.map(|other| other.unwrap().shown());
        let damaged = [String::new(), secret.into(), known.shown()[..20].into(), format!("{}0", known.shown()), "é".repeat(32)];
        for shown in others.into_iter().chain(damaged) {
            assert!(!known.is(&shown), "{shown}");
        }
        token("short", Purpose::Cluster).unwrap_err();
        assert_eq!(format!("{known:?}"), "Token");
    }
}
