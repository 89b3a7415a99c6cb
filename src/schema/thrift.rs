//! Thrift's compact protocol, as far as Parquet uses it: what is claimed can be seen before a library believes it.
//!
//! A decoder makes room for what a list says it holds, and enters a struct as deep as it goes. Walked over first, a list is
//! no longer than its bytes and a struct no deeper than a table needs. The specification is thrift-compact-protocol.md of Apache
//! Thrift.

use crate::limits;
use anyhow::{Context, Result, bail, ensure};

/// Structs and lists inside one another: a table of contents has seven.
const DEPTH: u8 = 12;

/// The fields that lead to a number: `(0, 3)` is field 3 of the struct, `(5, 1)` field 1 of the struct in its field 5, or
/// of each in the list there. Deeper ones are not told.
pub type Place = (i16, i16);

/// The kinds of values; a field has one in its head.
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

/// Walks over the struct that `bytes` begin with, and tells `found` its numbers and, as numbers, how long its lists are.
/// Returns the length of the struct.
///
/// # Errors
/// When it is none, goes on behind the bytes, has a field twice, or claims what no table has.
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

    /// An unsigned number, seven bits a byte.
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

    /// A struct in field `inside` of the outermost one, which is itself in field 0; `None` further in.
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
            // Of a field that is there twice, who knows which one another reader believes.
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
                // In a list, a truth takes a byte.
                TRUE | FALSE => self.skip(1)?,
                STRUCT => self.structure(within(place), depth + 1)?,
                kind => self.value(kind, None, depth + 1)?,
            }
        }
        Ok(())
    }
}

/// What the fields of a struct at this place are inside of.
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
