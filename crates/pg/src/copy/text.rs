//! FORMAT text: a line a row, backslashes before what would be taken for something else.

use super::Text;

impl Text {
    /// The bytes of the first line of `input`, its end included; `from`: how far it was looked through before.
    pub(super) fn line_end(&self, input: &[u8], from: &mut usize) -> Option<usize> {
        let mut at = *from;
        while let Some(&byte) = input.get(at) {
            match byte {
                b'\n' => return Some(at + 1),
                // What follows belongs to it, a line end too.
                b'\\' if at + 1 < input.len() => at += 2,
                b'\\' => break,
                _ => at += 1,
            }
        }
        *from = at;
        None
    }

    /// The fields of a line without its end; `None` is NULL.
    pub(super) fn fields(&self, line: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut fields = Vec::new();
        let (mut start, mut at) = (0, 0);
        while at <= line.len() {
            match line.get(at) {
                Some(b'\\') => at += 2,
                Some(&byte) if byte != self.delimiter => at += 1,
                _ => {
                    fields.push(self.field(&line[start..at]));
                    at += 1;
                    start = at;
                }
            }
        }
        if start <= line.len() {
            // The line ends in a lone backslash, which stands for itself.
            fields.push(self.field(&line[start..]));
        }
        fields
    }

    fn field(&self, raw: &[u8]) -> Option<Vec<u8>> {
        (raw != self.null.as_bytes()).then(|| unescape(raw))
    }

    /// A value, escaped.
    pub(super) fn put(&self, value: &[u8], out: &mut Vec<u8>) {
        for &byte in value {
            let letter = match byte {
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0B => b'v',
                0x0C => b'f',
                b'\r' => b'r',
                b'\\' => b'\\',
                byte if byte == self.delimiter => byte,
                byte => {
                    out.push(byte);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    }
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&letter, after)) = rest.split_first() else {
            out.push(b'\\');
            break;
        };
        rest = after;
        let (byte, used) = match letter {
            b'b' => (0x08, 0),
            b'f' => (0x0C, 0),
            b'n' => (b'\n', 0),
            b'r' => (b'\r', 0),
            b't' => (b'\t', 0),
            b'v' => (0x0B, 0),
            b'0'..=b'7' => number(letter - b'0', rest, 8, 2),
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => number(0, rest, 16, 2),
            other => (other, 0),
        };
        out.push(byte);
        rest = &rest[used..];
    }
    out
}

/// The byte that at most `max` more digits make, and how many there are.
fn number(first: u8, rest: &[u8], radix: u32, max: usize) -> (u8, usize) {
    let mut value = u32::from(first);
    let mut used = 0;
    while used < max
        && let Some(digit) = rest.get(used).and_then(|byte| char::from(*byte).to_digit(radix))
    {
        value = value * radix + digit;
        used += 1;
    }
    (value as u8, used)
}

#[cfg(test)]
mod tests {
    use super::super::Header;
    use super::*;

    fn text() -> Text {
        Text {
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: Header::None,
        }
    }

    fn fields(line: &[u8]) -> Vec<Option<String>> {
        let fields = text().fields(line).into_iter();
        fields
            .map(|field| field.map(|bytes| String::from_utf8(bytes).expect("text")))
            .collect()
    }

    #[test]
    fn escapes_are_those_of_postgresql() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(fields(b"a\tb"), [some("a"), some("b")]);
        assert_eq!(fields(b"\\N\t\\\\N"), [None, some("\\N")]);
        assert_eq!(fields(b"\\b\\f\\n\\r\\t\\v"), [some("\u{8}\u{c}\n\r\t\u{b}")]);
        assert_eq!(fields(b"\\101\\x42\\x4\\q"), [some("AB\u{4}q")]);
        assert_eq!(fields(b"a\\\tb\t"), [some("a\tb"), some("")]);
        assert_eq!(fields(b""), [some("")]);
        assert_eq!(fields(b"a\\"), [some("a\\")]);
    }

    #[test]
    fn a_line_ends_where_no_backslash_stands_before_its_end() {
        let mut from = 0;
        assert_eq!(text().line_end(b"a\\\nb\nc", &mut from), Some(5));
        assert_eq!(text().line_end(b"a\\", &mut from), None);
        assert_eq!(from, 1, "the backslash is looked at again");
        assert_eq!(text().line_end(b"a\\\n", &mut from), None);
        assert_eq!(from, 3);
        assert_eq!(text().line_end(b"a\\\n\n", &mut from), Some(4));
    }

    #[test]
    fn what_is_written_reads_back() {
        let value: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        text().put(&value, &mut out);
        assert_eq!(text().fields(&out), [Some(value)]);
    }
}
