//! What a table is called at one point of the log, and its columns: the words for changes that name them by number and
//! place.

use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder};

/// A table, as whoever reads its changes has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// Its stored columns, in declaration order. Generated ones are in no change.
    pub columns: Vec<RelationColumn>,
    /// What shows its rowid.
    pub rowid: Rowid,
    /// Places in `columns` of its declared primary key, in key order. Empty: none is declared.
    pub primary: Vec<u32>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: Arc<str>,
    /// As declared; may be empty.
    pub declared_type: String,
}

/// What a table's rowid is called (<https://sqlite.org/rowidtable.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rowid {
    /// WITHOUT ROWID.
    None,
    /// An INTEGER PRIMARY KEY, by place.
    Column(u32),
    /// No column shows it; SQL may call it so.
    Hidden(Arc<str>),
}

/// The version of the encoding, and the only one that is read.
const VERSION: u8 = 1;

/// Frozen.
mod tag {
    pub const NONE: u8 = 0;
    pub const COLUMN: u8 = 1;
    pub const HIDDEN: u8 = 2;
}

impl Relation {
    /// Version, name, columns, rowid, primary key.
    pub fn encode(&self, out: &mut Encoder) {
        out.u8(VERSION);
        out.str(&self.name);
        out.u64(self.columns.len() as u64);
        for column in &self.columns {
            out.str(&column.name);
            out.str(&column.declared_type);
        }
        match &self.rowid {
            Rowid::None => out.u8(tag::NONE),
            Rowid::Column(place) => {
                out.u8(tag::COLUMN);
                out.u64(u64::from(*place));
            }
            Rowid::Hidden(name) => {
                out.u8(tag::HIDDEN);
                out.str(name);
            }
        }
        out.u64(self.primary.len() as u64);
        for place in &self.primary {
            out.u64(u64::from(*place));
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Relation, DecodeError> {
        let version = input.u8()?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion {
                what: "relation",
                version: u64::from(version),
            });
        }
        let name = input.str()?.to_owned();
        let columns = (0..input.count()?)
            .map(|_| {
                Ok(RelationColumn {
                    name: input.str()?.into(),
                    declared_type: input.str()?.to_owned(),
                })
            })
            .collect::<Result<_, DecodeError>>()?;
        let rowid = match input.u8()? {
            tag::NONE => Rowid::None,
            tag::COLUMN => Rowid::Column(input.u32("column place")?),
            tag::HIDDEN => Rowid::Hidden(input.str()?.into()),
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "rowid",
                    tag: u64::from(other),
                });
            }
        };
        let primary = (0..input.count()?)
            .map(|_| input.u32("column place"))
            .collect::<Result<_, _>>()?;
        Ok(Relation {
            name,
            columns,
            rowid,
            primary,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_comes_back_and_none_that_is_cut_does() {
        for rowid in [Rowid::None, Rowid::Column(1), Rowid::Hidden("oid".into())] {
            let relation = Relation {
                name: "orders".to_owned(),
                columns: ["id", "amount"]
                    .map(|name| RelationColumn {
                        name: name.into(),
                        declared_type: "INTEGER".to_owned(),
                    })
                    .to_vec(),
                rowid,
                primary: vec![1, 0],
            };
            let mut out = Encoder::new();
            relation.encode(&mut out);
            let bytes = out.into_vec();
            assert_eq!(Relation::decode(&mut Decoder::new(&bytes)), Ok(relation));
            for end in 0..bytes.len() {
                let cut = Relation::decode(&mut Decoder::new(&bytes[..end]));
                assert_eq!(cut, Err(DecodeError::Truncated), "{end} bytes");
            }
        }
    }
}
