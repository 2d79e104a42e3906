//! Bytes and times as people write them.

use std::fmt;

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes.
pub const MIB: u64 = 1 << 20;
/// 1 GiB in bytes.
pub const GIB: u64 = 1 << 30;

/// Reads a size such as `512`, `64KiB`, `1.5 GiB` or `100MB` (KB, MB and GB are powers of 1000).
///
/// # Errors
/// A sentence that says what was not understood.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        other => return Err(format!("'{other}' is no unit of size: use B, KiB, MiB, GiB or TiB")),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(|| format!("'{text}' is more than 2^64 bytes"));
    }
    match number.parse::<f64>() {
        Ok(value) if value >= 0.0 && value * (factor as f64) < 9e18 => Ok((value * factor as f64) as u64),
        _ => Err(format!("'{text}' is no size: write a number and a unit, such as 512MiB")),
    }
}

/// A number of bytes that prints with the unit that suits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        for (unit, name) in [(1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
            if bytes >= unit {
                return if bytes.is_multiple_of(unit) {
                    write!(f, "{} {name}", bytes / unit)
                } else {
                    write!(f, "{:.1} {name}", bytes as f64 / unit as f64)
                };
            }
        }
        write!(f, "{bytes} B")
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, parse_bytes};

    #[test]
    fn sizes_are_read_and_printed() {
        assert_eq!(parse_bytes("64KiB"), Ok(65536));
        assert_eq!(parse_bytes("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes("100MB"), Ok(100_000_000));
        assert!(parse_bytes("12 parsecs").is_err());
        assert!(parse_bytes("").is_err());
        assert!(parse_bytes("99999999999 TiB").is_err());
        assert_eq!(Bytes(65536).to_string(), "64 KiB");
        assert_eq!(Bytes(1_500_000).to_string(), "1.4 MiB");
    }
}
