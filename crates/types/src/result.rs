//! What statements answered, whole: sent between nodes, and kept for whoever asks again.
//!
//! Does not stream: a result that is larger than what may be kept is not kept at all.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::statement::{Column, CommandTag};
use crate::value::Value;

/// The most bytes that are kept of what one transaction answered.
pub const KEPT_RESULT_BYTES_MAX: usize = 64 << 10;

/// What a statement answered.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementResult {
    /// Empty for none.
    pub columns: Vec<Column>,
    /// All rows.
    pub rows: Vec<Vec<Value>>,
    /// The command's tag.
    pub tag: CommandTag,
}

/// Appends count and columns.
pub fn encode_columns(columns: &[Column], out: &mut Encoder) {
    out.u64(columns.len() as u64);
    for column in columns {
        column.encode(out);
    }
}

/// Reads what [`encode_columns`] wrote.
pub fn decode_columns(input: &mut Decoder<'_>) -> Result<Vec<Column>, DecodeError> {
    (0..input.count()?).map(|_| Column::decode(input)).collect()
}

/// Appends count and rows, each with its count of values.
pub fn encode_rows(rows: &[Vec<Value>], out: &mut Encoder) {
    out.u64(rows.len() as u64);
    for row in rows {
        out.u64(row.len() as u64);
        for value in row {
            value.encode(out);
        }
    }
}

/// Reads what [`encode_rows`] wrote.
pub fn decode_rows(input: &mut Decoder<'_>) -> Result<Vec<Vec<Value>>, DecodeError> {
    (0..input.count()?)
        .map(|_| (0..input.count()?).map(|_| Value::decode(input)).collect())
        .collect()
}

impl StatementResult {
    /// Of a statement that answers no rows.
    pub fn without_rows(tag: CommandTag) -> StatementResult {
        StatementResult {
            columns: Vec::new(),
            rows: Vec::new(),
            tag,
        }
    }

    /// Appends columns, rows, tag.
    pub fn encode(&self, out: &mut Encoder) {
        encode_columns(&self.columns, out);
        encode_rows(&self.rows, out);
        self.tag.encode(out);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<StatementResult, DecodeError> {
        Ok(StatementResult {
            columns: decode_columns(input)?,
            rows: decode_rows(input)?,
            tag: CommandTag::decode(input)?,
        })
    }

    /// So many bytes its rows take at least, as they are encoded; it stops to count above `max`.
    fn least_bytes(&self, max: usize) -> usize {
        let mut least = 0;
        for row in &self.rows {
            let content = row.iter().map(|value| match value {
                Value::Null | Value::Integer(_) | Value::Real(_) => 1,
                Value::Text(text) => 1 + text.len(),
                Value::Blob(bytes) => 1 + bytes.len(),
            });
            least += 1 + content.sum::<usize>();
            if least > max {
                break;
            }
        }
        least
    }
}

/// What is kept of a transaction's answer besides the tag of its last statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptResult {
    /// No more: its statements answered no rows, or its client had them before it asked for COMMIT.
    TagAlone,
    /// The results of all its statements, encoded: at most [`KEPT_RESULT_BYTES_MAX`].
    Rows(Bytes),
    /// There were rows, and they were too many.
    TooLarge,
}

/// Frozen.
mod tag {
    pub const TAG_ALONE: u8 = 0;
    pub const ROWS: u8 = 1;
    pub const TOO_LARGE: u8 = 2;
}

impl KeptResult {
    /// What is to be kept of these. Costs nothing where there are no rows.
    pub fn of(results: &[StatementResult]) -> KeptResult {
        if results.iter().all(|result| result.columns.is_empty()) {
            return KeptResult::TagAlone;
        }
        let least = |result: &StatementResult| result.least_bytes(KEPT_RESULT_BYTES_MAX);
        if results.iter().map(least).sum::<usize>() > KEPT_RESULT_BYTES_MAX {
            return KeptResult::TooLarge;
        }
        let mut out = Encoder::new();
        out.u64(results.len() as u64);
        for result in results {
            result.encode(&mut out);
        }
        match out.len() > KEPT_RESULT_BYTES_MAX {
            true => KeptResult::TooLarge,
            false => KeptResult::Rows(Bytes::from(out.into_vec())),
        }
    }

    /// What the transaction answered whose last tag was that: by statement, or that tag alone. `None`: its rows are not
    /// known any more.
    pub fn recall(&self, last: &CommandTag) -> Option<Vec<StatementResult>> {
        match self {
            KeptResult::TagAlone => Some(vec![StatementResult::without_rows(last.clone())]),
            KeptResult::Rows(bytes) => decode_results(bytes).ok().filter(|results| !results.is_empty()),
            KeptResult::TooLarge => None,
        }
    }

    /// Bytes of results that this holds, for bounds on records.
    pub fn size_bytes(&self) -> usize {
        match self {
            KeptResult::TagAlone | KeptResult::TooLarge => 0,
            KeptResult::Rows(bytes) => bytes.len(),
        }
    }

    /// Appends tag and content.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            KeptResult::TagAlone => out.u8(tag::TAG_ALONE),
            KeptResult::Rows(bytes) => {
                out.u8(tag::ROWS);
                out.bytes(bytes);
            }
            KeptResult::TooLarge => out.u8(tag::TOO_LARGE),
        }
    }

    /// Reads what `encode` wrote; the results themselves are looked at when they are recalled.
    pub fn decode(input: &mut Decoder<'_>) -> Result<KeptResult, DecodeError> {
        match input.u8()? {
            tag::TAG_ALONE => Ok(KeptResult::TagAlone),
            tag::ROWS => match input.bytes()? {
                bytes if bytes.len() <= KEPT_RESULT_BYTES_MAX => {
                    Ok(KeptResult::Rows(Bytes::copy_from_slice(bytes)))
                }
                bytes => Err(DecodeError::OutOfRange {
                    what: "bytes of a kept result",
                    value: bytes.len() as u64,
                }),
            },
            tag::TOO_LARGE => Ok(KeptResult::TooLarge),
            other => Err(DecodeError::UnknownTag {
                what: "kept result",
                tag: u64::from(other),
            }),
        }
    }
}

fn decode_results(bytes: &[u8]) -> Result<Vec<StatementResult>, DecodeError> {
    let mut input = Decoder::new(bytes);
    let results = (0..input.count()?)
        .map(|_| StatementResult::decode(&mut input))
        .collect::<Result<_, _>>()?;
    input.finish()?;
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(rows: Vec<Vec<Value>>) -> StatementResult {
        let column = |name: &str, declared_type: Option<&str>| Column {
            name: name.to_owned(),
            declared_type: declared_type.map(str::to_owned),
        };
        StatementResult {
            columns: vec![column("a", Some("NUMERIC(7, 2)")), column("?column?", None)],
            tag: CommandTag::counted("INSERT", rows.len() as u64),
            rows,
        }
    }

    fn round_trip(kept: &KeptResult) -> Result<KeptResult, DecodeError> {
        let mut out = Encoder::new();
        kept.encode(&mut out);
        let mut input = Decoder::new(out.as_slice());
        let decoded = KeptResult::decode(&mut input)?;
        input.finish()?;
        Ok(decoded)
    }

    #[test]
    fn what_is_kept_is_recalled_as_it_was_answered() {
        let results = vec![
            result(vec![
                vec![Value::Null, Value::Integer(i64::MIN)],
                vec![Value::Real(-0.0), Value::Real(f64::MAX)],
                vec![Value::Text("ä\0b".to_owned()), Value::Blob(vec![0, 255])],
            ]),
            StatementResult::without_rows(CommandTag::counted("DELETE", 2)),
            result(Vec::new()),
        ];
        let kept = KeptResult::of(&results);
        let recalled = round_trip(&kept)
            .expect("sound")
            .recall(&CommandTag::plain("anything"));
        // Text for text: -0.0 equals 0.0.
        assert_eq!(format!("{recalled:?}"), format!("{:?}", Some(results)));
    }

    #[test]
    fn without_rows_the_tag_is_enough() {
        let tag = CommandTag::counted("UPDATE", 3);
        let one = StatementResult::without_rows(tag.clone());
        let kept = KeptResult::of(&[StatementResult::without_rows(CommandTag::plain("X")), one.clone()]);
        assert_eq!(round_trip(&kept), Ok(KeptResult::TagAlone));
        assert_eq!(kept.recall(&tag), Some(vec![one]));
    }

    #[test]
    fn up_to_the_bound_it_is_kept_and_beyond_it_is_not() {
        // Columns, counts, tags: what is left is the text's.
        let around = |text: usize| result(vec![vec![Value::Null, Value::Text("x".repeat(text))]]);
        let KeptResult::Rows(empty) = KeptResult::of(&[around(1 << 14)]) else {
            panic!("it fits");
        };
        let room = KEPT_RESULT_BYTES_MAX - (empty.len() - (1 << 14));
        let kept = KeptResult::of(&[around(room)]);
        assert!(matches!(&kept, KeptResult::Rows(bytes) if bytes.len() == KEPT_RESULT_BYTES_MAX));
        assert_eq!(round_trip(&kept), Ok(kept));
        let too_large = KeptResult::of(&[around(room + 1)]);
        assert_eq!(round_trip(&too_large), Ok(KeptResult::TooLarge));
        assert_eq!(too_large.recall(&CommandTag::plain("INSERT")), None);
        // Many small ones count too, and numbers as what they are encoded to.
        let small = |value: i64, rows| result(vec![vec![Value::Integer(value); 2]; rows]);
        assert!(matches!(KeptResult::of(&[small(1, 13_000)]), KeptResult::Rows(_)));
        assert_eq!(KeptResult::of(&[small(i64::MAX, 13_000)]), KeptResult::TooLarge);
        assert_eq!(
            KeptResult::of(&[small(1, 7_000), small(1, 7_000)]),
            KeptResult::TooLarge
        );
    }

    #[test]
    fn what_is_no_kept_result_is_an_error() {
        let beyond = KeptResult::Rows(Bytes::from(vec![0; KEPT_RESULT_BYTES_MAX + 1]));
        assert!(matches!(round_trip(&beyond), Err(DecodeError::OutOfRange { .. })));
        assert!(KeptResult::decode(&mut Decoder::new(&[3])).is_err());
        for nonsense in [&[][..], &[0], &[255, 255, 3], &[1, 9], &[0, 0]] {
            let kept = KeptResult::Rows(Bytes::copy_from_slice(nonsense));
            assert_eq!(kept.recall(&CommandTag::plain("INSERT")), None, "{nonsense:?}");
        }
    }
}
