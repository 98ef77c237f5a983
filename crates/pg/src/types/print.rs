//! Numbers and bytes as PostgreSQL prints them.

use std::io::Write;

/// Shortest digits that read back as the same float8; scientific from 15 digits before the point and from 4
/// zeros after it.
pub fn float8(value: f64, out: &mut Vec<u8>) {
    float(value, format_args!("{value:e}"), 15, out);
}

/// The same for float4, scientific from 6 digits.
pub fn float4(value: f32, out: &mut Vec<u8>) {
    float(f64::from(value), format_args!("{value:e}"), 6, out);
}

/// `scientific` is the value as Rust prints it with `{:e}`: shortest digits, `-1.25e-7`.
fn float(value: f64, scientific: std::fmt::Arguments<'_>, most_digits: i32, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    // Sign, 17 digits, point, `e`, sign, 3 digits: 24.
    let mut buffer = [0u8; 32];
    let mut rest = &mut buffer[..];
    rest.write_fmt(scientific).expect("the longest float fits");
    let unused = rest.len();
    let text = std::str::from_utf8(&buffer[..buffer.len() - unused]).expect("digits are ASCII");
    let (digits, exponent) = text.split_once('e').expect("`{:e}` prints an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` prints a number");
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits), |digits| ("-", digits));
    out.extend_from_slice(sign.as_bytes());
    if exponent < -4 || exponent >= most_digits {
        out.extend_from_slice(digits.as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", exponent.unsigned_abs()).expect("a vector takes all");
        return;
    }
    plain(digits, exponent, out);
}

/// `1.25` with exponent 1 as `12.5`.
fn plain(digits: &str, exponent: i32, out: &mut Vec<u8>) {
    let digits = digits.bytes().filter(|&byte| byte != b'.');
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        return out.extend(digits);
    }
    let before_point = exponent as usize + 1;
    let mut count = 0;
    for digit in digits {
        if count == before_point {
            out.push(b'.');
        }
        out.push(digit);
        count += 1;
    }
    out.extend(std::iter::repeat_n(b'0', before_point.saturating_sub(count)));
}

/// A float as numeric prints it: shortest digits, never scientific.
pub fn decimal(value: f64, out: &mut Vec<u8>) {
    match value.is_finite() {
        true => write!(out, "{value}").expect("a vector takes all"),
        false => float8(value, out),
    }
}

/// Decimal digits.
pub fn integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// `\x` and hexadecimal digits.
pub fn bytea(value: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + 2 * value.len());
    out.extend_from_slice(b"\\x");
    for byte in value {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 0xF)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(print: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        print(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn floats_are_printed_as_postgresql_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (100.0, "100"),
            (123456.789, "123456.789"),
            (1e14, "100000000000000"),
            (123456789012345.6, "123456789012345.6"),
            (1e15, "1e+15"),
            (1234567890123456.0, "1.234567890123456e+15"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(printed(|out| float8(value, out)), expected);
        }
        assert_eq!(printed(|out| float4(0.1, out)), "0.1");
        assert_eq!(printed(|out| float4(123456.0, out)), "123456");
        assert_eq!(printed(|out| float4(1_000_000.0, out)), "1e+06");
        assert_eq!(printed(|out| decimal(1e20, out)), "100000000000000000000");
    }

    proptest! {
        #[test]
        fn every_number_reads_back(float in any::<f64>(), number in any::<i64>()) {
            prop_assert_eq!(printed(|out| float8(float, out)).parse::<f64>().map(f64::to_bits), Ok(float.to_bits()));
            prop_assert_eq!(printed(|out| integer(number, out)), number.to_string());
        }
    }
}
