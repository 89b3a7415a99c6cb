//! Numbers of bytes, as people type them.

use std::fmt;

/// A number of bytes: `4096`, `64K`, `512M`, `2G`, `1T`, also with `B` or `iB` behind; K is 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// Parses a size.
    pub fn parse(text: &str) -> Result<Size, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let shift = match unit.trim().to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "K" | "KB" | "KIB" => 10,
            "M" | "MB" | "MIB" => 20,
            "G" | "GB" | "GIB" => 30,
            "T" | "TB" | "TIB" => 40,
            _ => return Err(format!("{unit:?} is no unit of bytes: use K, M, G or T, as in 512M")),
        };
        let number: u64 = digits.parse().map_err(|_| "a size is a whole number and a unit, as in 512M".to_owned())?;
        number.checked_mul(1 << shift).map(Size).ok_or_else(|| format!("{text} is more bytes than there are numbers for"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["", "K", "M", "G", "T"];
        let power = (1..units.len()).rev().find(|power| self.0 > 0 && self.0.is_multiple_of(1 << (10 * power))).unwrap_or(0);
        write!(f, "{}{}", self.0 >> (10 * power), units[power])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64K", 65536), ("512M", 512 << 20), ("2GiB", 2 << 30), ("1 tb", 1 << 40)]
        {
            assert_eq!(Size::parse(text).unwrap().0, bytes, "{text}");
        }
        for text in ["", "M", "12X", "-1", "1.5G", "99999999999T"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_prints_as_it_is_typed() {
        for text in ["0", "1", "1025", "64K", "512M", "3G"] {
            assert_eq!(Size::parse(text).unwrap().to_string(), text);
        }
    }
}
