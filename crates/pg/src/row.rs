//! Result columns, and rows encoded straight from SQLite's values.

use std::sync::Arc;

use bellwether_types::{ErrorKind, SqlError, ValueRef};

use crate::types::{Format, Oid, Type, TypeWithModifier, put_value};

/// What a statement takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Types of `$1` …, as inferred; 0 where nothing is known. What the client said at Parse goes first.
    pub parameters: Vec<Oid>,
    /// The columns of its rows; `None`: it answers no rows.
    pub fields: Option<Arc<[Field]>>,
}

/// A column of a result, as RowDescription tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_: TypeWithModifier,
    /// The oid of the table it is a column of; 0 for expressions, and where the catalog has none.
    pub table_oid: u32,
    /// Its number in that table, from 1; 0 for expressions.
    pub column_number: i16,
}

impl Field {
    /// Of no table, without a modifier.
    pub fn new(name: impl Into<String>, type_: impl Into<TypeWithModifier>) -> Field {
        Field {
            name: name.into(),
            type_: type_.into(),
            table_oid: 0,
            column_number: 0,
        }
    }
}

/// In which format a client wants which column: what Bind asked. Simple queries are all text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Formats {
    /// All text.
    #[default]
    Text,
    /// All binary.
    Binary,
    /// One each.
    Each(Vec<Format>),
}

impl Formats {
    /// As Bind writes them: none, one for all, or one each.
    pub fn from_codes(codes: &[i16]) -> Result<Formats, SqlError> {
        let formats = codes
            .iter()
            .map(|&code| Format::from_code(code))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(match formats.as_slice() {
            [] | [Format::Text] => Formats::Text,
            [Format::Binary] => Formats::Binary,
            _ => Formats::Each(formats),
        })
    }

    /// Of the column at `index`, from 0.
    pub fn of(&self, index: usize) -> Format {
        match self {
            Formats::Text => Format::Text,
            Formats::Binary => Format::Binary,
            Formats::Each(formats) => formats.get(index).copied().unwrap_or_default(),
        }
    }

    /// Whether `fields` can be sent so: as many formats as columns.
    pub fn check(&self, fields: &[Field]) -> Result<(), SqlError> {
        if let Formats::Each(formats) = self
            && formats.len() != fields.len()
        {
            let message = format!(
                "bind message has {} result formats but query has {} columns",
                formats.len(),
                fields.len()
            );
            return Err(SqlError::new(ErrorKind::Protocol, message));
        }
        Ok(())
    }
}

/// Longest row: a gigabyte, as in PostgreSQL.
const MAX_ROW_BYTES: usize = 1 << 30;

/// Rows into DataRow messages, on whatever thread reads them: no allocation per row or value.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    fields: Arc<[Field]>,
    columns: Vec<(Type, Format)>,
}

impl RowEncoder {
    /// For rows of `fields`, in the formats that [`crate::connection::Run`] names.
    pub fn new(fields: Arc<[Field]>, formats: &Formats) -> Result<RowEncoder, SqlError> {
        formats.check(&fields)?;
        let columns = fields
            .iter()
            .enumerate()
            .map(|(index, field)| (field.type_.type_, formats.of(index)))
            .collect();
        Ok(RowEncoder { fields, columns })
    }

    /// The columns.
    pub fn fields(&self) -> &Arc<[Field]> {
        &self.fields
    }

    /// Appends one row. An error (a value that does not fit its column's type) leaves `out` as it was.
    pub fn encode<'v>(
        &self,
        values: impl IntoIterator<Item = ValueRef<'v>>,
        out: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        let start = out.len();
        let result = self.encode_from(start, values, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_from<'v>(
        &self,
        start: usize,
        values: impl IntoIterator<Item = ValueRef<'v>>,
        out: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        out.push(b'D');
        out.extend_from_slice(&[0; 4]);
        self.encode_values(values, out)?;
        patch_length(out, start + 1, start + 1)
    }

    /// The values of one row: how many, and each with its length, as DataRow and binary COPY have them.
    pub(crate) fn encode_values<'v>(
        &self,
        values: impl IntoIterator<Item = ValueRef<'v>>,
        out: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        // At most 65,535: SQLite's own limit is 32,767 columns.
        out.extend_from_slice(&(self.columns.len() as u16).to_be_bytes());
        let mut count = 0;
        for (value, (index, &(type_, format))) in values.into_iter().zip(self.columns.iter().enumerate()) {
            count += 1;
            if value == ValueRef::Null {
                out.extend_from_slice(&(-1i32).to_be_bytes());
                continue;
            }
            let length_at = out.len();
            out.extend_from_slice(&[0; 4]);
            put_value(type_, format, value, out).map_err(|error| self.of_column(index, error))?;
            patch_length(out, length_at, length_at + 4)?;
        }
        if count != self.columns.len() {
            let message = format!("a row has {count} values for {} columns", self.columns.len());
            return Err(SqlError::new(ErrorKind::Internal, message));
        }
        Ok(())
    }

    /// The value of the column at `index`, which is not NULL, without its length.
    pub(crate) fn put(&self, index: usize, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), SqlError> {
        let (type_, format) = self.columns[index];
        put_value(type_, format, value, out).map_err(|error| self.of_column(index, error))
    }

    fn of_column(&self, index: usize, mut error: SqlError) -> SqlError {
        let name = &self.fields[index].name;
        error.message = format!("column \"{name}\": {}", error.message);
        error.column = Some(name.clone());
        error
    }
}

/// Writes the length of what stands from `content` to the end.
pub(crate) fn patch_length(out: &mut [u8], at: usize, content: usize) -> Result<(), SqlError> {
    let length = out.len() - content;
    if length > MAX_ROW_BYTES {
        return Err(SqlError::new(
            ErrorKind::ProgramLimit,
            "a row is longer than 1 GB",
        ));
    }
    out[at..at + 4].copy_from_slice(&(length as i32).to_be_bytes());
    Ok(())
}
