//! Rows out of the bytes that a client sends, as they come.

use std::sync::Arc;

use bellwether_types::{ErrorKind, SqlError, Value};

use super::{Header, Layout, MAX_LINE_BYTES, bad};
use crate::row::Field;
use crate::types::{Format, Oid, parameter};

/// "Binary-format files" in PostgreSQL's COPY: what every one begins with.
pub(super) const SIGNATURE: [u8; 11] = *b"PGCOPY\n\xff\r\n\0";

/// Decodes rows of known columns.
#[derive(Debug)]
pub(crate) struct Decoder {
    layout: Layout,
    columns: Arc<[Field]>,
    /// For errors.
    target: String,
    buffer: Vec<u8>,
    /// What of it is decoded.
    at: usize,
    /// How far a line that is not whole was looked through, from `at`.
    scanned: usize,
    in_quotes: bool,
    header_due: bool,
    /// Lines so far, or rows in binary.
    line: u64,
    /// The client has sent everything.
    is_ended: bool,
    /// The data say so themselves: what comes after is not looked at.
    is_over: bool,
}

impl Decoder {
    pub(crate) fn new(layout: Layout, columns: Arc<[Field]>, target: &str) -> Decoder {
        let header_due = match &layout {
            Layout::Text(text) => text.header != Header::None,
            Layout::Csv(csv) => csv.header != Header::None,
            Layout::Binary => true,
        };
        Decoder {
            layout,
            columns,
            target: target.to_owned(),
            buffer: Vec::new(),
            at: 0,
            scanned: 0,
            in_quotes: false,
            header_due,
            line: 0,
            is_ended: false,
            is_over: false,
        }
    }

    /// What came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.is_over {
            return;
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self) {
        self.is_ended = true;
    }

    /// Lines (or rows) begun so far.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The next row; `None`: more bytes are needed, or that was all.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Value>>, SqlError> {
        let row = if self.layout.is_binary() {
            self.next_binary()
        } else {
            self.next_line()
        };
        row.map_err(|error| self.placed(error))
    }

    fn placed(&self, error: SqlError) -> SqlError {
        let column = match &error.column {
            Some(column) => format!(", column {column}"),
            None => String::new(),
        };
        match error.detail {
            Some(_) => error,
            None => error.with_detail(format!("COPY {}, line {}{column}", self.target, self.line)),
        }
    }

    fn next_line(&mut self) -> Result<Option<Vec<Value>>, SqlError> {
        while !self.is_over {
            let Some((line, end)) = self.find_line()? else {
                return Ok(None);
            };
            self.line += 1;
            let at = self.at;
            self.at += end;
            if &self.buffer[at..at + line] == b"\\." {
                self.is_over = true;
                self.buffer.clear();
                self.at = 0;
                return Ok(None);
            }
            if std::mem::take(&mut self.header_due) {
                self.check_header(at, line)?;
                continue;
            }
            return self.row(&self.buffer[at..at + line]).map(Some);
        }
        Ok(None)
    }

    /// The bytes of the next line, without and with its end.
    fn find_line(&mut self) -> Result<Option<(usize, usize)>, SqlError> {
        let input = &self.buffer[self.at..];
        let end = match &self.layout {
            Layout::Text(text) => text.line_end(input, &mut self.scanned),
            Layout::Csv(csv) => csv.line_end(input, &mut self.scanned, &mut self.in_quotes),
            Layout::Binary => None,
        };
        let Some(end) = end else {
            if input.len() > MAX_LINE_BYTES {
                let message = format!("a line of COPY data is longer than {MAX_LINE_BYTES} bytes");
                return Err(SqlError::new(ErrorKind::ProgramLimit, message));
            }
            // The last line needs no end.
            return Ok((self.is_ended && !input.is_empty()).then_some((input.len(), input.len())));
        };
        (self.scanned, self.in_quotes) = (0, false);
        let line = end - 1;
        let line = line - usize::from(input[..line].last() == Some(&b'\r'));
        Ok(Some((line, end)))
    }

    fn check_header(&self, at: usize, line: usize) -> Result<(), SqlError> {
        let line = &self.buffer[at..at + line];
        let names: Vec<Vec<u8>> = match &self.layout {
            Layout::Text(text) if text.header == Header::Match => text
                .fields(line)
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect(),
            Layout::Csv(csv) if csv.header == Header::Match => {
                csv.fields(line)?.into_iter().map(|field| field.bytes).collect()
            }
            _ => return Ok(()),
        };
        let expected = self.columns.iter().map(|column| column.name.as_bytes());
        if names.iter().map(Vec::as_slice).eq(expected) {
            return Ok(());
        }
        let expected: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        Err(bad("the header line does not name the columns")
            .with_hint(format!("Expected: {}", expected.join(", "))))
    }

    fn row(&self, line: &[u8]) -> Result<Vec<Value>, SqlError> {
        match &self.layout {
            Layout::Text(text) => {
                let fields = text.fields(line);
                // A table without columns has rows without fields.
                self.check_count(fields.len(), line)?;
                let values = self.columns.iter().zip(fields);
                values
                    .map(|(column, field)| value(column, field.as_deref()))
                    .collect()
            }
            Layout::Csv(csv) => {
                let fields = csv.fields(line)?;
                self.check_count(fields.len(), line)?;
                let values = self.columns.iter().zip(fields).map(|(column, field)| {
                    let is_null = field.bytes == csv.null.as_bytes()
                        && (!field.is_quoted && !csv.force_not_null.has(&column.name)
                            || field.is_quoted && csv.force_null.has(&column.name));
                    value(column, (!is_null).then_some(field.bytes.as_slice()))
                });
                values.collect()
            }
            Layout::Binary => unreachable!("binary has no lines"),
        }
    }

    fn check_count(&self, found: usize, line: &[u8]) -> Result<(), SqlError> {
        if let Some(column) = self.columns.get(found) {
            let shown: String = String::from_utf8_lossy(line).chars().take(100).collect();
            let detail = format!("COPY {}, line {}: \"{shown}\"", self.target, self.line);
            return Err(bad(format!("missing data for column \"{}\"", column.name)).with_detail(detail));
        }
        if found > self.columns.len() {
            return Err(bad("extra data after last expected column"));
        }
        Ok(())
    }

    fn next_binary(&mut self) -> Result<Option<Vec<Value>>, SqlError> {
        let mut input = Input {
            rest: self.buffer.get(self.at..).unwrap_or_default(),
        };
        let before = input.rest.len();
        if self.is_over {
            return Ok(None);
        }
        let row = if self.header_due {
            input.header().map(|found| found.map(|()| None))
        } else {
            input.row(&self.columns).map(|found| found.map(Some))
        };
        let Some(row) = row? else {
            // As PostgreSQL takes it (`NextCopyFrom`): pgx leaves out the mark after the last row.
            let is_whole = !self.header_due && before == 0;
            return match self.is_ended && !is_whole {
                true => Err(bad("unexpected end of binary COPY data")),
                false => Ok(None),
            };
        };
        self.at += before - input.rest.len();
        match row {
            None => {
                self.header_due = false;
                self.next_binary()
            }
            Some(None) => {
                self.is_over = true;
                Ok(None)
            }
            Some(row) => {
                self.line += 1;
                Ok(row)
            }
        }
    }
}

fn value(column: &Field, field: Option<&[u8]>) -> Result<Value, SqlError> {
    decode(column, Format::Text, field)
}

fn decode(column: &Field, format: Format, field: Option<&[u8]>) -> Result<Value, SqlError> {
    let Some(bytes) = field else {
        return Ok(Value::Null);
    };
    let oid: Oid = column.type_.type_.oid();
    parameter::decode(oid, format, bytes).map_err(|mut error| {
        error.column = Some(column.name.clone());
        error
    })
}

/// Big-endian numbers and counted bytes; `None` where there are not enough.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn i32(&mut self) -> Option<i32> {
        let bytes = self.take(4)?;
        Some(i32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    fn header(&mut self) -> Result<Option<()>, SqlError> {
        let mut ahead = Input { rest: self.rest };
        let Some(signature) = ahead.take(SIGNATURE.len()) else {
            return Ok(None);
        };
        if signature != SIGNATURE {
            return Err(bad("COPY file signature not recognized"));
        }
        let (Some(flags), Some(extension)) = (ahead.i32(), ahead.i32()) else {
            return Ok(None);
        };
        if flags != 0 {
            return Err(bad("unrecognized flags in the header of binary COPY data"));
        }
        let extension = usize::try_from(extension).map_err(|_| bad("invalid COPY file header"))?;
        if extension > MAX_LINE_BYTES {
            return Err(bad("invalid COPY file header (too long)"));
        }
        if ahead.take(extension).is_none() {
            return Ok(None);
        }
        *self = ahead;
        Ok(Some(()))
    }

    /// A row; inner `None`: the mark after the last one.
    fn row(&mut self, columns: &[Field]) -> Result<Option<Option<Vec<Value>>>, SqlError> {
        let mut ahead = Input { rest: self.rest };
        let Some(count) = ahead.take(2) else {
            return Ok(None);
        };
        let count = i16::from_be_bytes(count.try_into().expect("two bytes"));
        if count == -1 {
            *self = ahead;
            return Ok(Some(None));
        }
        if usize::try_from(count) != Ok(columns.len()) {
            let message = format!("row field count is {count}, expected {}", columns.len());
            return Err(bad(message));
        }
        let mut values = Vec::with_capacity(columns.len());
        for column in columns {
            let Some(len) = ahead.i32() else { return Ok(None) };
            let field = match len {
                -1 => None,
                len => {
                    let len = usize::try_from(len).map_err(|_| bad("invalid field size"))?;
                    if len > MAX_LINE_BYTES {
                        return Err(bad("invalid field size"));
                    }
                    match ahead.take(len) {
                        Some(bytes) => Some(bytes),
                        None => return Ok(None),
                    }
                }
            };
            values.push(decode(column, Format::Binary, field)?);
        }
        *self = ahead;
        Ok(Some(Some(values)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Columns, Csv, Text};
    use super::*;
    use crate::types::Type;

    fn columns() -> Arc<[Field]> {
        Arc::from([Field::new("a", Type::Int4), Field::new("b", Type::Text)])
    }

    fn text() -> Layout {
        Layout::Text(Text {
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: Header::None,
        })
    }

    fn csv(header: Header) -> Layout {
        Layout::Csv(Csv {
            delimiter: b',',
            quote: b'"',
            escape: b'"',
            null: String::new(),
            header,
            force_quote: Columns::None,
            force_not_null: Columns::None,
            force_null: Columns::None,
        })
    }

    /// All rows of `data`, given in pieces of `size` bytes.
    fn rows(layout: &Layout, data: &[u8], size: usize) -> Result<Vec<Vec<Value>>, SqlError> {
        let mut decoder = Decoder::new(layout.clone(), columns(), "t");
        let mut rows = Vec::new();
        for piece in data.chunks(size) {
            decoder.push(piece);
            while let Some(row) = decoder.next()? {
                rows.push(row);
            }
        }
        decoder.end();
        while let Some(row) = decoder.next()? {
            rows.push(row);
        }
        Ok(rows)
    }

    fn row(number: i64, text: &str) -> Vec<Value> {
        vec![Value::Integer(number), Value::Text(text.into())]
    }

    #[test]
    fn rows_are_the_same_however_their_bytes_are_cut() {
        let binary: Vec<u8> = [
            SIGNATURE.as_slice(),
            &[0; 8],
            &[0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 2, b'x', b'y'],
            &[0, 2, 0, 0, 0, 4, 0, 0, 0, 8, 255, 255, 255, 255],
            &[255, 255],
        ]
        .concat();
        let null = vec![Value::Integer(8), Value::Null];
        for size in 1..60 {
            let found = rows(&text(), b"7\tx\\ny\r\n8\t\\N\n9\tlast", size).expect("rows");
            assert_eq!(found, [row(7, "x\ny"), null.clone(), row(9, "last")], "{size}");
            let found = rows(&csv(Header::Names), b"a,b\n7,\"x\ny\"\"\"\n8,\n", size).expect("rows");
            assert_eq!(found, [row(7, "x\ny\""), null.clone()], "{size}");
            let found = rows(&Layout::Binary, &binary, size).expect("rows");
            assert_eq!(found, [row(7, "xy"), null.clone()], "{size}");
            let unmarked = &binary[..binary.len() - 2];
            let found = rows(&Layout::Binary, unmarked, size).expect("rows");
            assert_eq!(found, [row(7, "xy"), null.clone()], "{size}");
            rows(&Layout::Binary, &unmarked[..unmarked.len() - 1], size).expect_err("a row is cut");
            let found = rows(&text(), b"7\tx\n\\.\nwhat comes after", size).expect("rows");
            assert_eq!(found, [row(7, "x")], "{size}");
        }
    }

    #[test]
    fn what_is_no_row_says_where_and_why() {
        let mut long = SIGNATURE.to_vec();
        long.extend_from_slice(&[0; 8]);
        long.extend_from_slice(&[0, 3]);
        for (layout, data, message, detail) in [
            (
                text(),
                &b"1\tx\n2\n"[..],
                "missing data for column \"b\"",
                "COPY t, line 2: \"2\"",
            ),
            (
                text(),
                b"1\tx\ty\n",
                "extra data after last expected column",
                "COPY t, line 1",
            ),
            (
                text(),
                b"one\tx\n",
                "invalid input syntax for type int4: \"one\"",
                "COPY t, line 1, column a",
            ),
            (
                text(),
                b"1\t\xff\n",
                "invalid byte sequence for encoding \"UTF8\"",
                "COPY t, line 1, column b",
            ),
            (
                csv(Header::None),
                b"1,\"x",
                "unterminated CSV quoted field",
                "COPY t, line 1",
            ),
            (
                csv(Header::Match),
                b"a,c\n",
                "the header line does not name the columns",
                "COPY t, line 1",
            ),
            (
                Layout::Binary,
                b"PGCOPY\nxxxxxx",
                "COPY file signature not recognized",
                "COPY t, line 0",
            ),
            (
                Layout::Binary,
                &long,
                "row field count is 3, expected 2",
                "COPY t, line 0",
            ),
            (
                Layout::Binary,
                &long[..12],
                "unexpected end of binary COPY data",
                "COPY t, line 0",
            ),
        ] {
            let error = rows(&layout, data, 7).expect_err(message);
            assert_eq!(error.message, message);
            assert_eq!(error.detail.as_deref(), Some(detail), "{message}");
        }
    }
}
