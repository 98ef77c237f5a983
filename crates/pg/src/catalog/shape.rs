//! Which system tables there are, with which columns: `shape.txt`, taken from PostgreSQL 15.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bellwether_types::extension::VirtualColumn;
use bellwether_types::{ObjectId, Value};

/// A system table or view.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    /// PostgreSQL's number.
    pub(super) id: ObjectId,
    /// `r` or `v`.
    pub(super) kind: &'static str,
    pub(super) columns: Vec<ShapeColumn>,
}

/// A column of it.
#[derive(Debug)]
pub(super) struct ShapeColumn {
    pub(super) name: &'static str,
    pub(super) declared_type: &'static str,
    pub(super) is_not_null: bool,
}

/// All of them.
pub(super) static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let lines = include_str!("shape.txt").lines();
    lines.filter(|line| !line.starts_with(';')).map(read).collect()
});

static BY_ID: LazyLock<BTreeMap<ObjectId, usize>> =
    LazyLock::new(|| SHAPES.iter().zip(0..).map(|(shape, at)| (shape.id, at)).collect());

static BY_NAME: LazyLock<BTreeMap<(&str, &str), usize>> = LazyLock::new(|| {
    let named = SHAPES.iter().zip(0..);
    named
        .map(|(shape, at)| ((shape.namespace, shape.name), at))
        .collect()
});

/// By number.
pub(super) fn of_id(id: ObjectId) -> Option<&'static Shape> {
    Some(&SHAPES[*BY_ID.get(&id)?])
}

/// By name.
pub(super) fn of_name(namespace: &str, name: &str) -> Option<&'static Shape> {
    Some(&SHAPES[*BY_NAME.get(&(namespace, name))?])
}

fn read(line: &'static str) -> Shape {
    let mut words = line.split(' ');
    let mut word = || {
        words
            .next()
            .expect("a line of shape.txt has three words and columns")
    };
    let (namespace, name) = word().split_once('.').expect("a qualified name");
    let id = ObjectId(word().parse().expect("a number"));
    let kind = word();
    let columns = words.map(|column| {
        let (name, type_) = column.split_once(':').expect("a name and a type");
        let declared = type_.trim_end_matches('!');
        ShapeColumn {
            name,
            declared_type: if declared == "char" {
                "catalog char"
            } else {
                declared
            },
            is_not_null: type_ != declared,
        }
    });
    Shape {
        namespace,
        name,
        id,
        kind,
        columns: columns.collect(),
    }
}

impl Shape {
    /// The number of the table, which every row of it tells when asked by name.
    pub(super) fn table_oid(&self) -> VirtualColumn {
        VirtualColumn {
            name: "tableoid",
            declared_type: "oid",
            is_hidden: true,
            is_indexed: false,
            default: Value::Integer(i64::from(self.id.0)),
        }
    }
}

impl ShapeColumn {
    /// For SQLite.
    pub(super) fn to_virtual(&self, is_indexed: bool) -> VirtualColumn {
        let default = match self.declared_type {
            _ if !self.is_not_null => Value::Null,
            "oid" | "bool" | "int2" | "int4" | "int8" => Value::Integer(0),
            "float4" | "float8" => Value::Real(0.0),
            "bytea" => Value::Blob(Vec::new()),
            _ => Value::Text(String::new()),
        };
        VirtualColumn {
            name: self.name,
            declared_type: self.declared_type,
            is_hidden: false,
            is_indexed,
            default,
        }
    }
}
