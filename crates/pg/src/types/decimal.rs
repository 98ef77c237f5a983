//! Numerics in binary: groups of four decimal digits, where SQLite has numbers, or texts that keep all digits.

/// The header's sign.
const NEGATIVE: u16 = 0x4000;

/// Digits that a numeric sent to us may have before and after its point: PostgreSQL's own limits are 131,072 and
/// 16,383; SQLite's numbers have some 17 in all.
const GROUPS_MAX: usize = 4096;

/// Appends a decimal: digits with an optional sign and point, without exponent. `None`: it is none.
pub(super) fn put_binary(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (0, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let scale = u16::try_from(fraction.len()).ok()?;
    // Groups are counted from the point: padded to whole ones on both sides.
    let before = "0".repeat(whole.len().next_multiple_of(4) - whole.len());
    let after = "0".repeat(fraction.len().next_multiple_of(4) - fraction.len());
    let padded = [&before, whole, fraction, &after].concat();
    let groups = padded.as_bytes().chunks(4);
    let mut groups: Vec<u16> = groups
        .map(|group| {
            group
                .iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        })
        .collect();
    let mut weight = i16::try_from(whole.len().div_ceil(4)).ok()? - 1;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= i16::try_from(zeros).ok()?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    out.extend_from_slice(&i16::try_from(groups.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&(if groups.is_empty() { 0 } else { sign }).to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    groups
        .iter()
        .for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
    Some(())
}

/// The decimal that it is, NaN and infinities by their names. `None`: malformed, or longer than it may be.
pub(super) fn from_binary(bytes: &[u8]) -> Option<String> {
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (count, weight) = (usize::from(field(0)), i64::from(field(2).cast_signed()));
    let (sign, scale) = (field(4), usize::from(field(6)));
    let minus = match sign {
        0 => "",
        NEGATIVE => "-",
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let (groups, tail) = rest.as_chunks::<2>();
    let longest = i64::try_from(GROUPS_MAX).ok()?;
    if groups.len() != count
        || !tail.is_empty()
        || weight >= longest
        || -weight >= longest
        || scale / 4 > GROUPS_MAX
    {
        return None;
    }
    let groups: Vec<u16> = groups.iter().map(|group| u16::from_be_bytes(*group)).collect();
    if groups.iter().any(|group| *group > 9999) {
        return None;
    }
    // The group of this place: 0 is the one before the point.
    let group = |place: i64| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let whole: String = (0..=weight.max(0))
        .rev()
        .map(|place| format!("{:04}", group(place)))
        .collect();
    let fraction_groups = i64::try_from(scale.div_ceil(4)).ok()?;
    let mut fraction: String = (1..=fraction_groups)
        .map(|place| format!("{:04}", group(-place)))
        .collect();
    fraction.truncate(scale);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    Some(match fraction.as_str() {
        "" => format!("{minus}{whole}"),
        fraction => format!("{minus}{whole}.{fraction}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_have_postgresqls_groups() {
        for (text, expected) in [
            ("0", &[0, 0, 0, 0][..]),
            ("12345.678", &[3, 1, 0, 3, 1, 2345, 6780]),
            ("-0.07", &[1, 0xFFFF, 0x4000, 2, 700]),
            ("10000", &[1, 1, 0, 0, 1]),
            ("0.00001", &[1, 0xFFFE, 0, 5, 1000]),
        ] {
            let mut bytes = Vec::new();
            put_binary(text, &mut bytes).expect(text);
            let words: Vec<u16> = bytes
                .chunks(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            assert_eq!(words, expected, "{text}");
        }
        for text in ["", ".", "-", "1e5", "1.2.3", "x"] {
            assert_eq!(put_binary(text, &mut Vec::new()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_comes_back_as_it_went(text in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,20})?|-0\\.[0-9]{0,6}1|0\\.[0-9]{0,6}1") {
            let mut bytes = Vec::new();
            put_binary(&text, &mut bytes).expect("a decimal");
            prop_assert_eq!(from_binary(&bytes), Some(text));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = from_binary(&bytes);
        }
    }
}
