//! Sizes in bytes: how they are read from flags and how they are written for people.

use std::fmt;
use std::str::FromStr;

use humansize::{BINARY, FormatSizeOptions, SizeFormatter};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A number of bytes. Prints as people read it (`1.50 GiB`); reads `512MiB`, `2GB`, `100k` and plain bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = FormatSizeOptions::from(BINARY).decimal_places(2).decimal_zeroes(0);
        f.pad(&SizeFormatter::new(self.0, options).to_string())
    }
}

impl FromStr for Bytes {
    type Err = Error;

    /// Powers of 1000 for `k M G T` (with or without `B`), of 1024 for `KiB MiB GiB TiB`; a decimal fraction is allowed
    /// before a unit. Case does not matter.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |cause: &str| Error::invalid("size", text, cause);
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let scale: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(bad("the unit is none of B KB MB GB TB KiB MiB GiB TiB")),
        };
        let bytes = if let Some((whole, fraction)) = number.split_once('.') {
            if scale == 1 || fraction.len() > 9 || fraction.is_empty() || !fraction.bytes().all(|c| c.is_ascii_digit()) {
                return Err(bad("it is not a number of bytes"));
            }
            let whole: u128 = whole.parse().map_err(|_| bad("it is not a number"))?;
            let part: u128 = fraction.parse().map_err(|_| bad("it is not a number"))?;
            let part = part * u128::from(scale) / 10_u128.pow(fraction.len() as u32);
            whole.checked_mul(u128::from(scale)).and_then(|whole| whole.checked_add(part))
        } else {
            number.parse::<u128>().map_err(|_| bad("it is not a number"))?.checked_mul(u128::from(scale))
        };
        bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
            .filter(|bytes| *bytes <= 1 << 60)
            .map(Self)
            .ok_or_else(|| bad("it is larger than 1 EiB"))
    }
}

/// The size in exactly five cells, right-aligned: `  0B`, ` 64B`, `1.21G`, `  87M`. Units are powers of 1024.
#[must_use]
pub fn cells(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes:>4}B");
    }
    // humansize chooses the unit; the width around it is ours.
    let text = SizeFormatter::new(bytes, FormatSizeOptions::from(BINARY).decimal_places(2).space_after_value(true)).to_string();
    let (number, unit) = text.split_once(' ').unwrap_or((&text, "B"));
    let value: f64 = number.parse().unwrap_or(0.0);
    let unit = unit.chars().next().unwrap_or('B');
    if value < 9.995 {
        format!("{value:.2}{unit}")
    } else if value < 99.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:>4.0}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1k", 1000),
            ("2GB", 2_000_000_000),
            ("512MiB", 512 << 20),
            ("2.5GiB", 5 << 29),
            ("1 kib", 1024),
            ("3B", 3),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes), "{text}");
        }
        for text in ["", "x", "-1", "1.5", "1..5k", "5xb", "1.GiB", "99999999999999999999", "2000000TiB", "1e9", "NaN"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn cells_are_always_five_wide() {
        for shift in 0..60 {
            for delta in [0_u64, 1, 7] {
                for bytes in [(1_u64 << shift) + delta, (1_u64 << shift).saturating_sub(1 + delta), 999 << (shift / 2), 1000 << (shift / 2)]
                {
                    assert_eq!(cells(bytes).len(), 5, "{bytes}: {}", cells(bytes));
                }
            }
        }
        assert_eq!(cells(0), "   0B");
        assert_eq!(cells(64), "  64B");
        assert_eq!(cells(87 << 20), "87.0M");
        assert_eq!(cells(1_300_000_000), "1.21G");
        assert_eq!(cells(180 << 20), " 180M");
    }
}
