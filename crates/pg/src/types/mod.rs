//! PostgreSQL's types as far as SQLite's values are told as them: oids, and which declared type is which.
//!
//! | declared in CREATE TABLE (case, spaces and `(n)` apart) | described as |
//! |---|---|
//! | INTEGER, INT, BIGINT, INT8, UNSIGNED BIG INT, MEDIUMINT, BIGSERIAL, SERIAL | int8: SQLite's integers have 64 bits |
//! | INT4 | int4 |
//! | SMALLINT, INT2, TINYINT | int2 |
//! | REAL, DOUBLE, DOUBLE PRECISION, FLOAT, FLOAT8 | float8: SQLite's reals have 64 bits |
//! | FLOAT4 | float4 |
//! | NUMERIC, DECIMAL | numeric, with its precision and scale |
//! | BOOLEAN, BOOL | bool |
//! | VARCHAR, NVARCHAR, CHARACTER VARYING, VARYING CHARACTER, NATIVE CHARACTER | varchar, with its length |
//! | CHAR, NCHAR, CHARACTER, BPCHAR | bpchar, with its length |
//! | TEXT, CLOB, STRING, any other type with CHAR, CLOB or TEXT in it | text |
//! | BLOB, BYTEA, VARBINARY, BINARY | bytea |
//! | DATE; TIME; TIMESTAMP, DATETIME; TIMESTAMPTZ, TIMESTAMP WITH TIME ZONE | date; time; timestamp; timestamptz |
//! | UUID; JSON; JSONB | uuid; json; jsonb |
//! | NAME; OID; CATALOG CHAR; INT2VECTOR; OIDVECTOR | name; oid; "char"; int2vector; oidvector: the catalog's |
//! | BOOL[], INT2[], INT4[], INT8[], OID[], TEXT[], NAME[], CATALOG CHAR[], FLOAT4[], FLOAT8[] | arrays of these, kept as `{…}` |
//! | any other with INT in it; with REAL, FLOA or DOUB | int8; float8 |
//! | anything else, or none | text |

mod array;
mod decimal;
mod moment;
pub mod parameter;
mod print;
mod value;

pub(crate) use print::{bytea as put_bytea, float8 as put_float8};
pub use value::{FORMAT_BINARY, FORMAT_TEXT, Format, put_value};

/// A type's number in PostgreSQL's catalog. 0: not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(pub u32);

/// A type that results are described as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in PostgreSQL")]
pub enum Type {
    Bool,
    Bytea,
    Int8,
    Int2,
    Int4,
    Text,
    Oid,
    Json,
    Float4,
    Float8,
    Bpchar,
    Varchar,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Numeric,
    Uuid,
    Jsonb,
    Name,
    Char,
    Int2Vector,
    OidVector,
    BoolArray,
    CharArray,
    NameArray,
    Int2Array,
    Int4Array,
    TextArray,
    Int8Array,
    Float4Array,
    Float8Array,
    OidArray,
    ByteaArray,
    JsonArray,
    BpcharArray,
    VarcharArray,
    DateArray,
    TimeArray,
    TimestampArray,
    TimestamptzArray,
    NumericArray,
    UuidArray,
    JsonbArray,
}

/// Type, oid, bytes (-1: varying, PostgreSQL's `typlen`), name.
const TYPES: [(Type, u32, i16, &str); 44] = [
    (Type::Bool, 16, 1, "bool"),
    (Type::Bytea, 17, -1, "bytea"),
    (Type::Name, 19, 64, "name"),
    (Type::Int8, 20, 8, "int8"),
    (Type::Int2, 21, 2, "int2"),
    (Type::Int4, 23, 4, "int4"),
    (Type::Text, 25, -1, "text"),
    (Type::Oid, 26, 4, "oid"),
    (Type::Json, 114, -1, "json"),
    (Type::Float4, 700, 4, "float4"),
    (Type::Float8, 701, 8, "float8"),
    (Type::Bpchar, 1042, -1, "bpchar"),
    (Type::Varchar, 1043, -1, "varchar"),
    (Type::Date, 1082, 4, "date"),
    (Type::Time, 1083, 8, "time"),
    (Type::Timestamp, 1114, 8, "timestamp"),
    (Type::Timestamptz, 1184, 8, "timestamptz"),
    (Type::Numeric, 1700, -1, "numeric"),
    (Type::Uuid, 2950, 16, "uuid"),
    (Type::Jsonb, 3802, -1, "jsonb"),
    (Type::Char, 18, 1, "char"),
    (Type::Int2Vector, 22, -1, "int2vector"),
    (Type::OidVector, 30, -1, "oidvector"),
    (Type::BoolArray, 1000, -1, "_bool"),
    (Type::CharArray, 1002, -1, "_char"),
    (Type::NameArray, 1003, -1, "_name"),
    (Type::Int2Array, 1005, -1, "_int2"),
    (Type::Int4Array, 1007, -1, "_int4"),
    (Type::TextArray, 1009, -1, "_text"),
    (Type::Int8Array, 1016, -1, "_int8"),
    (Type::Float4Array, 1021, -1, "_float4"),
    (Type::Float8Array, 1022, -1, "_float8"),
    (Type::OidArray, 1028, -1, "_oid"),
    (Type::ByteaArray, 1001, -1, "_bytea"),
    (Type::JsonArray, 199, -1, "_json"),
    (Type::BpcharArray, 1014, -1, "_bpchar"),
    (Type::VarcharArray, 1015, -1, "_varchar"),
    (Type::DateArray, 1182, -1, "_date"),
    (Type::TimeArray, 1183, -1, "_time"),
    (Type::TimestampArray, 1115, -1, "_timestamp"),
    (Type::TimestamptzArray, 1185, -1, "_timestamptz"),
    (Type::NumericArray, 1231, -1, "_numeric"),
    (Type::UuidArray, 2951, -1, "_uuid"),
    (Type::JsonbArray, 3807, -1, "_jsonb"),
];

impl Type {
    /// Every type.
    pub fn all() -> impl Iterator<Item = Type> {
        TYPES.iter().map(|row| row.0)
    }

    /// The type of this oid, if it is one of ours.
    pub fn from_oid(oid: Oid) -> Option<Type> {
        TYPES.iter().find(|row| row.1 == oid.0).map(|row| row.0)
    }

    /// Its number.
    pub fn oid(self) -> Oid {
        Oid(self.row().1)
    }

    /// Bytes of a value, -1 when they vary.
    pub fn size_bytes(self) -> i16 {
        self.row().2
    }

    /// The type of an array's elements.
    pub fn element(self) -> Option<Type> {
        Some(match self {
            Type::BoolArray => Type::Bool,
            Type::CharArray => Type::Char,
            Type::NameArray => Type::Name,
            Type::Int2Array | Type::Int2Vector => Type::Int2,
            Type::Int4Array => Type::Int4,
            Type::TextArray => Type::Text,
            Type::Int8Array => Type::Int8,
            Type::Float4Array => Type::Float4,
            Type::Float8Array => Type::Float8,
            Type::OidArray | Type::OidVector => Type::Oid,
            Type::ByteaArray => Type::Bytea,
            Type::JsonArray => Type::Json,
            Type::BpcharArray => Type::Bpchar,
            Type::VarcharArray => Type::Varchar,
            Type::DateArray => Type::Date,
            Type::TimeArray => Type::Time,
            Type::TimestampArray => Type::Timestamp,
            Type::TimestamptzArray => Type::Timestamptz,
            Type::NumericArray => Type::Numeric,
            Type::UuidArray => Type::Uuid,
            Type::JsonbArray => Type::Jsonb,
            _ => return None,
        })
    }

    /// The type of arrays of it; arrays have none.
    pub fn array(self) -> Option<Type> {
        let is_vector = |type_: &Type| matches!(type_, Type::Int2Vector | Type::OidVector);
        Type::all().find(|type_| type_.element() == Some(self) && !is_vector(type_))
    }

    /// PostgreSQL's name.
    pub fn name(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> &'static (Type, u32, i16, &'static str) {
        TYPES
            .iter()
            .find(|row| row.0 == self)
            .expect("every type has a row")
    }
}

/// A type and its modifier: the length of varchar plus 4, precision and scale of numeric; -1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeWithModifier {
    /// The type.
    pub type_: Type,
    /// The modifier.
    pub modifier: i32,
}

impl From<Type> for TypeWithModifier {
    fn from(type_: Type) -> TypeWithModifier {
        TypeWithModifier { type_, modifier: -1 }
    }
}

/// What a declared type is described as; the table above.
pub fn of_declared(declared: &str) -> TypeWithModifier {
    let (name, arguments) = declared.split_once('(').unwrap_or((declared, ""));
    let (arguments, after) = arguments.split_once(')').unwrap_or((arguments, ""));
    let words: Vec<String> = name
        .split_whitespace()
        .chain(after.split_whitespace())
        .map(str::to_ascii_uppercase)
        .collect();
    let type_ = of_name(&words.join(" "));
    let mut numbers = arguments
        .split(',')
        .map(|number| number.trim().parse::<i32>().ok());
    let first = numbers
        .next()
        .flatten()
        .filter(|&number| (1..=10_485_760).contains(&number));
    let second = numbers.next().flatten().unwrap_or(0);
    let modifier = match (type_, first) {
        (Type::Varchar | Type::Bpchar, Some(length)) => length + 4,
        (Type::Numeric, Some(precision)) if precision <= 1000 && (0..=precision).contains(&second) => {
            ((precision << 16) | second) + 4
        }
        _ => -1,
    };
    TypeWithModifier { type_, modifier }
}

fn of_name(name: &str) -> Type {
    match name {
        "INTEGER" | "INT" | "BIGINT" | "INT8" | "MEDIUMINT" | "SERIAL" | "BIGSERIAL" => Type::Int8,
        "INT4" => Type::Int4,
        "SMALLINT" | "INT2" | "TINYINT" => Type::Int2,
        "REAL" | "DOUBLE" | "DOUBLE PRECISION" | "FLOAT" | "FLOAT8" => Type::Float8,
        "FLOAT4" => Type::Float4,
        "NUMERIC" | "DECIMAL" => Type::Numeric,
        "BOOLEAN" | "BOOL" => Type::Bool,
        "VARCHAR" | "NVARCHAR" | "CHARACTER VARYING" | "VARYING CHARACTER" | "NATIVE CHARACTER" => {
            Type::Varchar
        }
        "CHAR" | "NCHAR" | "CHARACTER" | "BPCHAR" => Type::Bpchar,
        "NAME" => Type::Name,
        "OID" => Type::Oid,
        "CATALOG CHAR" => Type::Char,
        "INT2VECTOR" => Type::Int2Vector,
        "OIDVECTOR" => Type::OidVector,
        "BOOL[]" => Type::BoolArray,
        "CATALOG CHAR[]" | "CHAR[]" => Type::CharArray,
        "NAME[]" => Type::NameArray,
        "INT2[]" => Type::Int2Array,
        "INT4[]" => Type::Int4Array,
        "TEXT[]" => Type::TextArray,
        "INT8[]" => Type::Int8Array,
        "FLOAT4[]" => Type::Float4Array,
        "FLOAT8[]" => Type::Float8Array,
        "OID[]" => Type::OidArray,
        "BLOB" | "BYTEA" | "VARBINARY" | "BINARY" => Type::Bytea,
        "DATE" => Type::Date,
        "TIME" | "TIME WITHOUT TIME ZONE" => Type::Time,
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => Type::Timestamp,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Type::Timestamptz,
        "UUID" => Type::Uuid,
        "JSON" => Type::Json,
        "JSONB" => Type::Jsonb,
        other => of_affinity(other),
    }
}

/// SQLite's own rule for names it does not know either (datatype3.html, 3.1), but for NUMERIC.
fn of_affinity(name: &str) -> Type {
    let has = |part: &str| name.contains(part);
    if has("INT") {
        Type::Int8
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Type::Text
    } else if has("BLOB") {
        Type::Bytea
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Type::Float8
    } else {
        Type::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_described_as_tabled() {
        for (declared, expected, modifier) in [
            ("INTEGER", Type::Int8, -1),
            ("int", Type::Int8, -1),
            ("Int4", Type::Int4, -1),
            ("SMALLINT", Type::Int2, -1),
            ("UNSIGNED BIG INT", Type::Int8, -1),
            ("VARCHAR(20)", Type::Varchar, 24),
            ("nvarchar ( 7 )", Type::Varchar, 11),
            ("VARYING CHARACTER(255)", Type::Varchar, 259),
            ("CHAR(3)", Type::Bpchar, 7),
            ("varchar", Type::Varchar, -1),
            ("VARCHAR(x)", Type::Varchar, -1),
            ("TEXT", Type::Text, -1),
            ("DOUBLE  PRECISION", Type::Float8, -1),
            ("REAL", Type::Float8, -1),
            ("NUMERIC(10,2)", Type::Numeric, ((10 << 16) | 2) + 4),
            ("DECIMAL", Type::Numeric, -1),
            ("NUMERIC(2,10)", Type::Numeric, -1),
            ("BOOLEAN", Type::Bool, -1),
            ("BLOB", Type::Bytea, -1),
            ("DATETIME", Type::Timestamp, -1),
            ("TIMESTAMP(3) WITH TIME ZONE", Type::Timestamptz, -1),
            ("UUID", Type::Uuid, -1),
            ("", Type::Text, -1),
            ("POINT", Type::Int8, -1),
            ("STRING", Type::Text, -1),
            ("FLOATING", Type::Float8, -1),
            ("VARCHAR(99999999999999999999", Type::Varchar, -1),
        ] {
            assert_eq!(
                of_declared(declared),
                TypeWithModifier {
                    type_: expected,
                    modifier
                },
                "{declared}"
            );
        }
    }

    #[test]
    fn every_type_is_found_by_its_oid() {
        for type_ in Type::all() {
            assert_eq!(Type::from_oid(type_.oid()), Some(type_));
            assert!(!type_.name().is_empty() && type_.size_bytes() != 0);
        }
    }
}
