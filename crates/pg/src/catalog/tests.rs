//! The catalog's content over a small schema.

use std::collections::BTreeSet;

use bellwether_types::extension::{RowKey, Rows, View, VirtualTable};
use bellwether_types::function::{Call, Facts};
use bellwether_types::schema::{
    Attribute, Constraint, ForeignKey, Index, IndexColumn, IndexKey, Relation, RelationKind, Rule, Trigger,
};
use bellwether_types::{ObjectId, Schema, SqlError, Value, ValueRef};

use super::{FUNCTIONS, result_type, tables};
use crate::types::of_declared;

fn column(name: &str, declared_type: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        declared_type: declared_type.to_owned(),
        ..Attribute::default()
    }
}

fn index(id: u32, name: &str, is_primary: bool, places: &[usize]) -> Index {
    let columns = places.iter().map(|place| IndexColumn {
        key: IndexKey::Column(*place),
        is_descending: false,
        collation: "BINARY".to_owned(),
    });
    Index {
        id: ObjectId(id),
        name: name.to_owned(),
        is_unique: is_primary,
        is_primary,
        columns: columns.collect(),
        predicate: None,
    }
}

fn constraint(id: u32, name: &str, rule: Rule) -> Constraint {
    Constraint {
        id: ObjectId(id),
        name: name.to_owned(),
        rule,
    }
}

fn schema() -> Schema {
    let sheep = Relation {
        id: ObjectId(16_385),
        name: "sheep".to_owned(),
        columns: vec![
            Attribute {
                is_rowid: true,
                is_not_null: true,
                ..column("id", "INTEGER")
            },
            Attribute {
                default: Some("'Dolly'".to_owned()),
                ..column("Name", "VARCHAR(20)")
            },
            column("weight", "NUMERIC(5,2)"),
        ],
        indexes: vec![
            index(1, "sheep_pkey", true, &[0]),
            index(2, "by_name", false, &[1]),
        ],
        constraints: vec![
            constraint(1, "sheep_pkey", Rule::PrimaryKey(0)),
            constraint(3, "sheep_weight_check", Rule::Check("weight > 0".to_owned())),
        ],
        row_estimate: Some(12),
        ..Relation::default()
    };
    let bell = Relation {
        id: ObjectId(16_386),
        name: "bell".to_owned(),
        columns: vec![column("sheep", "INTEGER"), column("other", "")],
        constraints: vec![constraint(
            4,
            "bell_sheep_fkey",
            Rule::ForeignKey(ForeignKey {
                columns: vec![0],
                target: "sheep".to_owned(),
                target_columns: Vec::new(),
                on_update: "NO ACTION".to_owned(),
                on_delete: "SET NULL".to_owned(),
                is_deferred: true,
            }),
        )],
        triggers: vec![Trigger {
            id: ObjectId(5),
            name: "ring".to_owned(),
            sql: "CREATE TRIGGER ring AFTER INSERT ON bell BEGIN SELECT 1; END".to_owned(),
        }],
        ..Relation::default()
    };
    let flock = Relation {
        id: ObjectId(6),
        name: "flock".to_owned(),
        kind: RelationKind::View,
        columns: vec![column("n", "")],
        sql: "CREATE VIEW flock AS SELECT count(*) AS n FROM sheep".to_owned(),
        ..Relation::default()
    };
    Schema::new("meadow", vec![sheep, bell, flock])
}

fn facts() -> Facts {
    Facts {
        user: "ada".to_owned(),
        database: "meadow".to_owned(),
        backend_pid: 9,
        ..Facts::default()
    }
}

fn table(namespace: &str, name: &str) -> VirtualTable {
    tables()
        .into_iter()
        .find(|table| table.namespace == namespace && table.name == name)
        .unwrap_or_else(|| panic!("{namespace}.{name}"))
}

fn keys(table: &VirtualTable, view: &View<'_>) -> Vec<RowKey> {
    match table.rows {
        Rows::Schema(list) => list(view.schema),
        Rows::Session(list) => list(view),
    }
}

/// Some columns of the rows in which a column has a value.
fn select(of: (&str, &str), columns: &[&str], by: &str, value: &Value) -> Vec<Vec<Value>> {
    let (schema, facts) = (schema(), facts());
    let view = View {
        schema: &schema,
        facts: &facts,
    };
    let table = table(of.0, of.1);
    let place = |name: &str| {
        let mut places = table.columns.iter();
        places
            .position(|column| column.name == name)
            .unwrap_or_else(|| panic!("{name}"))
    };
    keys(&table, &view)
        .into_iter()
        .filter(|row| table.value(place(by), *row, &view) == *value)
        .map(|row| {
            columns
                .iter()
                .map(|name| table.value(place(name), row, &view))
                .collect()
        })
        .collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn call(name: &str, arguments: &[Value]) -> Result<Value, SqlError> {
    let (schema, facts) = (schema(), facts());
    let values: Vec<ValueRef<'_>> = arguments.iter().map(Value::as_ref).collect();
    let function = FUNCTIONS
        .iter()
        .find(|function| function.name == name && function.arguments.takes(arguments.len()))
        .unwrap_or_else(|| panic!("{name} with {} arguments", arguments.len()));
    match function.call {
        Call::Pure(call) => call(&values),
        Call::Session(call) | Call::Node(call) => call(&values, &facts),
        Call::Notify(call) => call(&values, &facts).map(|notification| Value::Text(notification.payload)),
        Call::Schema(call) => call(&values, &schema, &facts),
        Call::Size(call) => Ok(call(&values, &schema).map_or(Value::Null, |_| Value::Integer(4096))),
    }
}

fn answer(name: &str, arguments: &[Value]) -> Value {
    call(name, arguments).unwrap_or_else(|error| panic!("{name}{arguments:?}: {error:?}"))
}

#[test]
fn every_table_is_there_once_and_all_its_values_are_of_their_types() {
    let (schema, facts) = (schema(), facts());
    let view = View {
        schema: &schema,
        facts: &facts,
    };
    let mut seen = BTreeSet::new();
    for table in tables() {
        assert!(seen.insert((table.namespace, table.name)), "{}", table.name);
        for row in keys(&table, &view) {
            for (place, column) in table.columns.iter().enumerate() {
                let value = table.value(place, row, &view);
                if value == Value::Null {
                    assert_eq!(column.default, Value::Null, "{}.{}", table.name, column.name);
                    continue;
                }
                let type_ = of_declared(column.declared_type).type_;
                let mut out = Vec::new();
                crate::types::put_value(type_, crate::types::Format::Text, value.as_ref(), &mut out)
                    .unwrap_or_else(|error| panic!("{}.{} {value:?}: {error}", table.name, column.name));
            }
        }
    }
    assert!(seen.len() > 180);
}

#[test]
fn what_joins_go_by_is_indexed_and_never_of_the_session() {
    for table in tables() {
        let has_index = table.columns.iter().any(|column| column.is_indexed);
        if matches!(table.rows, Rows::Session(_)) {
            assert!(!has_index, "{}", table.name);
        }
    }
    for (name, column) in [
        ("pg_class", "oid"),
        ("pg_class", "relname"),
        ("pg_attribute", "attrelid"),
        ("pg_index", "indrelid"),
        ("pg_constraint", "conrelid"),
        ("pg_attrdef", "adrelid"),
        ("pg_type", "oid"),
        ("pg_namespace", "oid"),
    ] {
        let table = table("pg_catalog", name);
        let column = table.columns.iter().find(|known| known.name == column);
        assert!(column.expect("a column").is_indexed, "{name}");
    }
}

#[test]
fn classes_are_tables_views_indexes_and_the_systems() {
    let columns = [
        "oid",
        "relkind",
        "relnamespace",
        "relnatts",
        "relchecks",
        "reltuples",
        "relhasindex",
    ];
    let of = |name: &str| select(("pg_catalog", "pg_class"), &columns, "relname", &text(name));
    let row = |oid: i64, kind: &str, namespace: i64, natts: i64, checks: i64, tuples: f64, indexed: i64| {
        vec![vec![
            Value::Integer(oid),
            text(kind),
            Value::Integer(namespace),
            Value::Integer(natts),
            Value::Integer(checks),
            Value::Real(tuples),
            Value::Integer(indexed),
        ]]
    };
    assert_eq!(of("sheep"), row(16_385, "r", 2200, 3, 1, 12.0, 1));
    assert_eq!(of("flock"), row(6, "v", 2200, 1, 0, -1.0, 0));
    assert_eq!(of("by_name"), row(2, "i", 2200, 1, 0, -1.0, 0));
    assert_eq!(of("pg_class"), row(1259, "r", 11, 33, 0, -1.0, 0));
}

#[test]
fn rows_tell_their_table_when_asked() {
    let rows = select(
        ("pg_catalog", "pg_class"),
        &["tableoid"],
        "relname",
        &text("sheep"),
    );
    assert_eq!(rows, [[Value::Integer(1259)]]);
    let class = table("pg_catalog", "pg_class");
    assert!(class.columns.last().is_some_and(|column| column.is_hidden));
}

#[test]
fn attributes_have_types_modifiers_identity_and_defaults() {
    let columns = [
        "attname",
        "atttypid",
        "atttypmod",
        "attnotnull",
        "atthasdef",
        "attidentity",
        "attnum",
    ];
    let rows = select(
        ("pg_catalog", "pg_attribute"),
        &columns,
        "attrelid",
        &Value::Integer(16_385),
    );
    let row =
        |name: &str, type_: i64, modifier: i64, not_null: i64, default: i64, identity: &str, number: i64| {
            vec![
                text(name),
                Value::Integer(type_),
                Value::Integer(modifier),
                Value::Integer(not_null),
                Value::Integer(default),
                text(identity),
                Value::Integer(number),
            ]
        };
    assert_eq!(
        rows,
        [
            row("id", 20, -1, 1, 0, "d", 1),
            row("Name", 1043, 24, 0, 1, "", 2),
            row("weight", 1700, (5 << 16 | 2) + 4, 0, 0, "", 3),
        ]
    );
}

#[test]
fn constraints_refer_to_numbers_of_columns() {
    let columns = [
        "contype",
        "conkey",
        "confrelid",
        "confkey",
        "conindid",
        "confdeltype",
        "condeferred",
    ];
    let rows = select(
        ("pg_catalog", "pg_constraint"),
        &columns,
        "conrelid",
        &Value::Integer(16_386),
    );
    assert_eq!(
        rows,
        [[
            text("f"),
            text("{1}"),
            Value::Integer(16_385),
            text("{1}"),
            Value::Integer(1),
            text("n"),
            Value::Integer(1)
        ]]
    );
}

#[test]
fn the_information_schema_names_the_database() {
    let columns = ["table_catalog", "table_schema", "table_type"];
    let rows = select(
        ("information_schema", "tables"),
        &columns,
        "table_name",
        &text("flock"),
    );
    assert_eq!(rows, [[text("meadow"), text("public"), text("VIEW")]]);
    let columns = [
        "data_type",
        "character_maximum_length",
        "column_default",
        "is_identity",
    ];
    let rows = select(
        ("information_schema", "columns"),
        &columns,
        "column_name",
        &text("Name"),
    );
    assert_eq!(
        rows,
        [[
            text("character varying"),
            Value::Integer(20),
            text("'Dolly'"),
            text("NO")
        ]]
    );
}

#[test]
fn functions_describe_objects() {
    let id = |number: i64| Value::Integer(number);
    for (name, arguments, expected) in [
        ("format_type", vec![id(1043), id(24)], "character varying(20)"),
        (
            "format_type",
            vec![id(1700), id((5 << 16 | 2) + 4)],
            "numeric(5,2)",
        ),
        ("format_type", vec![id(1009), Value::Null], "text[]"),
        ("format_type", vec![id(18), id(-1)], "\"char\""),
        ("format_type", vec![id(77), id(-1)], "???"),
        ("pg_get_constraintdef", vec![id(3), id(1)], "CHECK (weight > 0)"),
        (
            "pg_get_constraintdef",
            vec![id(4)],
            "FOREIGN KEY (sheep) REFERENCES sheep(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED",
        ),
        (
            "pg_get_indexdef",
            vec![id(2)],
            "CREATE INDEX by_name ON public.sheep USING btree (\"Name\")",
        ),
        ("pg_get_indexdef", vec![id(2), id(1), id(1)], "\"Name\""),
        (
            "pg_get_viewdef",
            vec![id(6), id(1)],
            " SELECT count(*) AS n FROM sheep;",
        ),
        ("pg_get_userbyid", vec![id(10)], "postgres"),
        ("pg_get_userbyid", vec![id(77)], "unknown (OID=77)"),
        ("regclassout", vec![id(16_385)], "sheep"),
        ("regclassout", vec![text("SHEEP")], "sheep"),
        (
            "regclassout",
            vec![text("information_schema.tables")],
            "information_schema.tables",
        ),
        ("regclassout", vec![id(0)], "-"),
        ("regclassout", vec![id(77)], "77"),
        ("regtypeout", vec![id(23)], "integer"),
        ("regnamespaceout", vec![text("public")], "public"),
        ("regroleout", vec![text("ada")], "ada"),
        ("current_user", vec![], "ada"),
        ("current_database", vec![], "meadow"),
        ("current_schemas", vec![id(0)], "{public}"),
        ("current_setting", vec![text("server_version_num")], "150000"),
        ("pg_size_pretty", vec![id(10_239)], "10239 bytes"),
        ("pg_size_pretty", vec![id(10_240)], "10 kB"),
        ("pg_size_pretty", vec![id(1 << 30)], "1024 MB"),
        ("pg_encoding_to_char", vec![id(6)], "UTF8"),
    ] {
        assert_eq!(answer(name, &arguments), text(expected), "{name}{arguments:?}");
    }
    for (name, arguments, expected) in [
        ("regclassin", vec![text("public.sheep")], 16_385),
        ("regclassin", vec![text("\"sheep\"")], 16_385),
        ("regclassin", vec![text("pg_class")], 1259),
        ("regclassin", vec![text("16385")], 16_385),
        ("regtypein", vec![text("timestamp with time zone")], 1184),
        ("regtypein", vec![text("varchar(10)[]")], 1015),
        ("regprocin", vec![text("array_in")], 750),
        ("pg_table_is_visible", vec![id(16_385)], 1),
        ("has_table_privilege", vec![text("sheep"), text("SELECT")], 1),
        ("pg_char_to_encoding", vec![text("UTF8")], 6),
    ] {
        assert_eq!(
            answer(name, &arguments),
            Value::Integer(expected),
            "{name}{arguments:?}"
        );
    }
}

#[test]
fn what_is_not_there_is_an_error_or_null_as_in_postgresql() {
    use bellwether_types::ErrorKind::{InvalidAuthorization, NotSupported, UndefinedSetting, UndefinedTable};
    for (name, arguments, kind) in [
        ("regclassin", vec![text("goat")], UndefinedTable),
        ("regclassout", vec![text("a.b.c")], UndefinedTable),
        ("regrolein", vec![text("nobody")], InvalidAuthorization),
        ("current_setting", vec![text("nothing")], UndefinedSetting),
        (
            "set_config",
            vec![text("application_name"), text("x"), Value::Integer(0)],
            NotSupported,
        ),
    ] {
        assert_eq!(call(name, &arguments).expect_err(name).kind, kind, "{name}");
    }
    for (name, arguments) in [
        ("to_regclass", vec![text("goat")]),
        ("to_regtype", vec![text("goat")]),
        ("regclassin", vec![Value::Null]),
        ("pg_get_indexdef", vec![Value::Integer(77)]),
        ("pg_table_is_visible", vec![Value::Integer(77)]),
        ("current_setting", vec![text("nothing"), Value::Integer(1)]),
        ("format_type", vec![Value::Null, Value::Null]),
    ] {
        assert_eq!(answer(name, &arguments), Value::Null, "{name}");
    }
}

#[test]
fn any_arguments_are_answered() {
    let odd = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Real(f64::INFINITY),
        text(""),
        text("\"."),
        text("-"),
        text("[](),'"),
        Value::Blob(vec![0xFF]),
    ];
    for function in FUNCTIONS {
        let most = function.arguments.max.unwrap_or(function.arguments.min);
        for count in function.arguments.min..=most {
            for value in &odd {
                let arguments = vec![value.clone(); usize::from(count)];
                let _ = call(function.name, &arguments);
            }
        }
        assert!(result_type(function.name).is_some());
    }
}
