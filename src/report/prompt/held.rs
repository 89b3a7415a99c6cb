//! Answers that wait for their end before they are shown.

use std::io::{Result, Write};

/// Bytes of an answer that are held.
const MOST: usize = 16 << 20;

/// Holds an answer until it is whole; one of more than 16 MiB is passed on as it comes.
pub struct Held<W> {
    to: W,
    text: Vec<u8>,
    passes: bool,
}

impl<W: Write> Held<W> {
    /// Nothing yet, to be passed on to `to`.
    pub fn new(to: W) -> Held<W> {
        Held { to, text: Vec::new(), passes: false }
    }

    /// What is held; `None` when the answer was passed on.
    pub fn whole(&self) -> Option<&[u8]> {
        (!self.passes).then_some(&self.text)
    }
}

impl<W: Write> Write for Held<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if !self.passes && self.text.len() + bytes.len() > MOST {
            self.to.write_all(&std::mem::take(&mut self.text))?;
            self.passes = true;
        }
        if self.passes {
            self.to.write_all(bytes)?;
        } else {
            self.text.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        if self.passes { self.to.flush() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_not_held() {
        let mut out = Vec::new();
        let mut held = Held::new(&mut out);
        held.write_all(b"few").unwrap();
        assert_eq!(held.whole(), Some(&b"few"[..]));
        let much = vec![b'x'; MOST];
        held.write_all(&much).unwrap();
        held.write_all(b"end").unwrap();
        assert!(held.whole().is_none() && held.text.capacity() == 0);
        assert!(out.starts_with(b"fewx") && out.ends_with(b"xend") && out.len() == MOST + 6);
    }
}
