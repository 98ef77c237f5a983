//! `$1::int`, which PostgreSQL's clients write and SQLite reads as one parameter of that very name.
//!
//! On a parameter the cast only tells a type: it is taken out of the text, as many blanks stay in its place so
//! that positions in errors keep their meaning, and becomes the parameter's type.

use std::borrow::Cow;

use bellwether_types::lexer::{self, TokenKind};
use bellwether_types::{ErrorKind, SqlError};

use crate::types::{Oid, Type, of_declared};

/// Takes the casts out. `types` are what the client said; a parameter without one gets its cast's. A cast to
/// another storage class than the client's type would have to convert, and is refused.
pub fn strip<'a>(sql: &'a str, types: &mut Vec<Oid>) -> Result<Cow<'a, str>, SqlError> {
    if !sql.contains("::") {
        return Ok(Cow::Borrowed(sql));
    }
    let mut stripped = String::with_capacity(sql.len());
    for token in lexer::tokens(sql) {
        let cast = token
            .text
            .split_once("::")
            .filter(|_| token.kind == TokenKind::Parameter);
        let (Some((name, type_name)), Some(number)) = (cast, token.parameter_number()) else {
            stripped.push_str(token.text);
            continue;
        };
        stripped.push_str(name);
        stripped.extend(std::iter::repeat_n(' ', token.text.chars().count() - name.len()));
        if let Some(index) = (number as usize).checked_sub(1) {
            tell(types, index, of_declared(type_name).type_, token.text)?;
        }
    }
    Ok(Cow::Owned(stripped))
}

/// The greatest parameter number is checked elsewhere; above it nothing is kept.
const MAX_INDEX: usize = 65_535;

fn tell(types: &mut Vec<Oid>, index: usize, cast: Type, text: &str) -> Result<(), SqlError> {
    if index > MAX_INDEX {
        return Ok(());
    }
    if types.len() <= index {
        types.resize(index + 1, Oid::default());
    }
    let said = Type::from_oid(types[index]);
    if said.is_some_and(|said| class(said) != class(cast)) {
        return Err(SqlError::new(
            ErrorKind::NotSupported,
            format!("{text} does not convert the parameter"),
        )
        .with_hint("Write CAST($1 AS ...), or declare the parameter with the type of the cast."));
    }
    if types[index] == Oid::default() {
        types[index] = cast.oid();
    }
    Ok(())
}

/// How SQLite stores values of a type.
fn class(type_: Type) -> &'static str {
    match type_ {
        Type::Bool | Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => "integer",
        Type::Float4 | Type::Float8 | Type::Numeric => "real",
        Type::Bytea => "blob",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_of_a_parameter_becomes_its_type_and_blanks() {
        let mut types = vec![Oid(0), Type::Int4.oid()];
        let sql = strip(
            "SELECT $1::text, '$2::x', $2::int8, $3::varchar(9), a",
            &mut types,
        )
        .expect("same classes");
        assert_eq!(sql, "SELECT $1      , '$2::x', $2      , $3            , a");
        assert_eq!(types, [Type::Text.oid(), Type::Int4.oid(), Type::Varchar.oid()]);
    }

    #[test]
    fn a_cast_that_would_convert_is_refused() {
        let error = strip("SELECT $1::int", &mut vec![Type::Text.oid()]).expect_err("text to integer");
        assert_eq!(error.kind, ErrorKind::NotSupported);
    }
}
