//! FORMAT csv: fields between delimiters, quoted where they hold one, a quote or a line end.

use bellwether_types::SqlError;

use super::{Csv, bad};

/// A field of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub bytes: Vec<u8>,
    /// Whether any of it stood in quotes: then it is not NULL by itself.
    pub is_quoted: bool,
}

impl Csv {
    /// The bytes of the first line of `input`, its end included. `from` and `in_quotes`: how far it was looked
    /// through before, and where that was.
    pub(super) fn line_end(&self, input: &[u8], from: &mut usize, in_quotes: &mut bool) -> Option<usize> {
        let mut at = *from;
        while let Some(&byte) = input.get(at) {
            if *in_quotes && byte == self.escape && self.escape != self.quote {
                if at + 1 >= input.len() {
                    break;
                }
                at += 1;
            } else if byte == self.quote {
                // A doubled quote leaves and enters again.
                *in_quotes = !*in_quotes;
            } else if byte == b'\n' && !*in_quotes {
                return Some(at + 1);
            }
            at += 1;
        }
        *from = at;
        None
    }

    /// The fields of a line without its end.
    pub(super) fn fields(&self, line: &[u8]) -> Result<Vec<Field>, SqlError> {
        let mut fields = Vec::new();
        let mut at = 0;
        loop {
            let (field, end) = self.field(line, at)?;
            fields.push(field);
            if end >= line.len() {
                return Ok(fields);
            }
            at = end + 1;
        }
    }

    /// The field that begins at `at`, and where its delimiter is, or the end of the line.
    fn field(&self, line: &[u8], mut at: usize) -> Result<(Field, usize), SqlError> {
        let mut field = Field {
            bytes: Vec::new(),
            is_quoted: false,
        };
        let mut in_quotes = false;
        while let Some(&byte) = line.get(at) {
            let next = line.get(at + 1).copied();
            if in_quotes {
                let escapes =
                    byte == self.escape && next.is_some_and(|next| next == self.quote || next == self.escape);
                if escapes {
                    field.bytes.extend(next);
                    at += 1;
                } else if byte == self.quote {
                    in_quotes = false;
                } else {
                    field.bytes.push(byte);
                }
            } else if byte == self.delimiter {
                return Ok((field, at));
            } else if byte == self.quote {
                in_quotes = true;
                field.is_quoted = true;
            } else {
                field.bytes.push(byte);
            }
            at += 1;
        }
        if in_quotes {
            return Err(bad("unterminated CSV quoted field"));
        }
        Ok((field, at))
    }

    /// A value, quoted where it must be or `force`.
    pub(super) fn put(&self, value: &[u8], force: bool, out: &mut Vec<u8>) {
        let is_special = |byte: &u8| [self.delimiter, self.quote, b'\n', b'\r'].contains(byte);
        // A lone `\.` would end the data.
        let quoted =
            force || value == self.null.as_bytes() || value == b"\\." || value.iter().any(is_special);
        if !quoted {
            return out.extend_from_slice(value);
        }
        out.push(self.quote);
        for &byte in value {
            if byte == self.quote || byte == self.escape {
                out.push(self.escape);
            }
            out.push(byte);
        }
        out.push(self.quote);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Columns, Header};
    use super::*;

    fn csv(escape: u8) -> Csv {
        Csv {
            delimiter: b',',
            quote: b'"',
            escape,
            null: String::new(),
            header: Header::None,
            force_quote: Columns::None,
            force_not_null: Columns::None,
            force_null: Columns::None,
        }
    }

    fn fields(line: &str) -> Vec<(String, bool)> {
        let fields = csv(b'"').fields(line.as_bytes()).expect("fields").into_iter();
        fields
            .map(|field| (String::from_utf8(field.bytes).expect("text"), field.is_quoted))
            .collect()
    }

    #[test]
    fn quotes_are_those_of_postgresql() {
        let plain = |text: &str| (text.to_owned(), false);
        let quoted = |text: &str| (text.to_owned(), true);
        assert_eq!(fields("a,b,"), [plain("a"), plain("b"), plain("")]);
        assert_eq!(fields("\"a,b\",\"\""), [quoted("a,b"), quoted("")]);
        assert_eq!(fields("\"a \"\"b\"\"\""), [quoted("a \"b\"")]);
        assert_eq!(fields("x\"y,z\"w"), [quoted("xy,zw")]);
        assert_eq!(fields(""), [plain("")]);
        assert!(csv(b'"').fields(b"\"a").is_err());
        let backslash = csv(b'\\').fields(b"\"a\\\"b\\\\\"").expect("fields");
        assert_eq!(backslash[0].bytes, b"a\"b\\");
    }

    #[test]
    fn a_line_ends_outside_of_quotes() {
        let (mut from, mut in_quotes) = (0, false);
        assert_eq!(csv(b'"').line_end(b"a,\"b\n", &mut from, &mut in_quotes), None);
        assert!(in_quotes && from == 5);
        assert_eq!(
            csv(b'"').line_end(b"a,\"b\n\"\"c\"\n", &mut from, &mut in_quotes),
            Some(10)
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for escape in [b'"', b'\\'] {
            for value in [
                "",
                "a",
                "a,b",
                "\"",
                "\\",
                "\\.",
                "\\\"",
                "line\nline\r",
                "a\"\"b",
            ] {
                let mut out = Vec::new();
                csv(escape).put(value.as_bytes(), false, &mut out);
                let fields = csv(escape).fields(&out).expect("fields");
                assert_eq!(fields.len(), 1, "{value:?}");
                assert_eq!(fields[0].bytes, value.as_bytes());
                assert!(fields[0].is_quoted || !value.is_empty(), "not NULL");
            }
        }
    }
}
