//! Checks data in Thrift's compact protocol, which Parquet uses for footers, page headers and indexes, before a library
//! decodes it.
//!
//! A decoder allocates as much as a list claims to hold, and recurses as deep as structs nest. After this check a list
//! is no longer than its bytes allow, and a struct no deeper than that of a table. The specification is
//! thrift-compact-protocol.md of Apache Thrift.

use crate::limits;
use anyhow::{Context, Result, bail, ensure};

/// Deepest nesting of structs and lists that is accepted; the footer of a table has seven levels.
const DEPTH: u8 = 12;

/// Where in the outermost struct a number stands: `(0, 3)` is its field 3, `(5, 1)` is field 1 of the struct in its
/// field 5, or of each struct in the list there. Numbers deeper inside are not reported.
pub type Place = (i16, i16);

/// Type codes of values in Thrift's compact protocol; the header of a field holds one.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;

/// Walks over the struct at the beginning of `bytes`, and calls `found` with each number at its place and with the
/// length of each list. Returns the length of the struct, bytes.
///
/// # Errors
/// When it is no struct, is longer than `bytes`, has its fields out of order or twice, or claims what no table has.
pub fn walk(bytes: &[u8], mut found: impl FnMut(Place, i64)) -> Result<usize> {
    let mut walk = Walk { rest: bytes, found: &mut found };
    walk.structure(Some(0), 0)?;
    Ok(bytes.len() - walk.rest.len())
}

struct Walk<'a, 'b> {
    rest: &'a [u8],
    found: &'b mut dyn FnMut(Place, i64),
}

impl Walk<'_, '_> {
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().context("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        let rest = usize::try_from(count).ok().and_then(|count| self.rest.get(count..));
        self.rest = rest.context("it ends too early")?;
        Ok(())
    }

    /// Reads an unsigned number (varint, seven bits a byte, least significant first).
    fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        bail!("a number has more than 64 bits")
    }

    fn number(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Walks over a struct: `inside` is 0 for the outermost one, the field's number for one in a field of that, `None`
    /// for deeper ones.
    fn structure(&mut self, inside: Option<i16>, depth: u8) -> Result<()> {
        ensure!(depth < DEPTH, "structs lie in one another too deeply");
        let mut last = 0_i16;
        loop {
            let head = self.byte()?;
            if head & 0x0f == 0 {
                return Ok(());
            }
            let field = match head >> 4 {
                0 => i16::try_from(self.number()?).context("a field has no such number")?,
                delta => last.checked_add(i16::from(delta)).context("a field has no such number")?,
            };
            // Order makes a repeated field an error: readers differ in which of two they believe.
            ensure!(field > last, "fields are out of order");
            last = field;
            self.value(head & 0x0f, inside.map(|inside| (inside, field)), depth)?;
        }
    }

    fn value(&mut self, kind: u8, place: Option<Place>, depth: u8) -> Result<()> {
        match kind {
            TRUE | FALSE => Ok(()),
            BYTE => self.skip(1),
            I16..=I64 => {
                let number = self.number()?;
                if let Some(place) = place {
                    (self.found)(place, number);
                }
                Ok(())
            }
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | SET => self.list(place, depth),
            STRUCT => self.structure(within(place), depth + 1),
            kind => bail!("there is no kind {kind} of values in Parquet"),
        }
    }

    fn list(&mut self, place: Option<Place>, depth: u8) -> Result<()> {
        ensure!(depth < DEPTH, "lists lie in one another too deeply");
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => self.varint()?,
            length => u64::from(length),
        };
        ensure!(length <= limits::LIST, "a list of {length} things is too long");
        if let Some(place) = place {
            (self.found)(place, length as i64);
        }
        for _ in 0..length {
            match head & 0x0f {
                // In a list a truth value takes a byte; in a struct it is in the field's header.
                TRUE | FALSE => self.skip(1)?,
                STRUCT => self.structure(within(place), depth + 1)?,
                kind => self.value(kind, None, depth + 1)?,
            }
        }
        Ok(())
    }
}

/// The `inside` of a struct at this place: its field number, or `None` when it is deeper than in a field of the
/// outermost struct.
fn within(place: Option<Place>) -> Option<i16> {
    place.filter(|(inside, _)| *inside == 0).map(|(_, field)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_their_fields() {
        // 1: -1, 2: a struct {1: 150}, 4: a list of two structs {3: 7}, 5: a text, 6: a list of three truths
        let bytes =
            [0x15, 1, 0x1c, 0x16, 0xac, 2, 0, 0x29, 0x2c, 0x35, 14, 0, 0x35, 14, 0, 0x18, 2, 9, 9, 0x19, 0x31, 1, 0, 1, 0, 99];
        let mut told = Vec::new();
        assert_eq!(walk(&bytes, |place, number| told.push((place, number))).unwrap(), bytes.len() - 1);
        assert_eq!(told, [((0, 1), -1), ((2, 1), 150), ((0, 4), 2), ((4, 3), 7), ((4, 3), 7), ((0, 6), 3)]);
        for end in 0..bytes.len() - 1 {
            assert!(walk(&bytes[..end], |_, _| ()).is_err(), "{end}");
        }
    }

    #[test]
    fn what_no_table_claims_is_refused() {
        let refused = |bytes: &[u8], word: &str| {
            let error = walk(bytes, |_, _| ()).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 7], "too long");
        refused(&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "too early");
        refused(&[0x15, 2, 0x05, 2, 2, 0], "out of order");
        refused(&[0x1c; 1000], "too deeply");
        refused(&[0x19; 1000], "too deeply");
        refused(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "64 bits");
        refused(&[0x1b, 0], "no kind");
    }
}
