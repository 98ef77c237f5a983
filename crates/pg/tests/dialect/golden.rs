//! What programs send to PostgreSQL 15, as its log has it: each text is taken as it stands, translated to what SQLite
//! takes over a catalog with PostgreSQL's columns, or refused, and then it is named here.

use std::path::PathBuf;

use bellwether_pg::command::Command;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::database::{open, translated};

/// What cannot be had, by how it begins. Whoever makes it possible takes it out of here.
const REFUSED: &[&str] = &[
    "comment on table customer",
    "create type mood",
    "select 'a'::mood",
    "drop type mood",
    "CREATE SCHEMA IF NOT EXISTS \"drizzle\"",
    "CREATE TABLE IF NOT EXISTS \"drizzle\".",
    "create unlogged table",
    "ALTER TABLE \"app_choice\" ALTER COLUMN \"choice_text\" TYPE",
    "ALTER TABLE \"app_question\" ALTER COLUMN \"extra\" DROP DEFAULT",
    "ALTER TABLE \"auth_group\" ALTER COLUMN \"name\" TYPE",
    "ALTER TABLE \"auth_permission\" ALTER COLUMN \"name\" TYPE",
    "ALTER TABLE \"auth_user\" ALTER COLUMN \"email\" TYPE",
    "ALTER TABLE \"auth_user\" ALTER COLUMN \"first_name\" TYPE",
    "ALTER TABLE \"auth_user\" ALTER COLUMN \"last_name\" TYPE",
    "ALTER TABLE \"auth_user\" ALTER COLUMN \"username\" TYPE",
    "select id, hash, created_at from \"drizzle\".",
    "insert into \"drizzle\".",
];

/// Functions of the catalog, which are not of this room: here they answer NULL.
const CATALOG_FUNCTIONS: &[&str] = &[
    "array_positions",
    "col_description",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "format_type",
    "getdatabaseencoding",
    "has_schema_privilege",
    "has_table_privilege",
    "obj_description",
    "pg_char_to_encoding",
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_encoding_to_char",
    "pg_function_is_visible",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arguments",
    "pg_get_function_result",
    "pg_get_indexdef",
    "pg_get_partkeydef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef_columns",
    "pg_get_triggerdef",
    "pg_get_userbyid",
    "pg_get_viewdef",
    "pg_is_in_recovery",
    "pg_opclass_is_visible",
    "pg_opfamily_is_visible",
    "pg_relation_is_publishable",
    "pg_size_pretty",
    "pg_table_is_visible",
    "pg_table_size",
    "pg_tablespace_location",
    "pg_total_relation_size",
    "pg_ts_config_is_visible",
    "pg_type_is_visible",
    "regclassin",
    "regclassout",
    "regnamespacein",
    "regnamespaceout",
    "regprocin",
    "regprocout",
    "regtypein",
    "regtypeout",
    "set_config",
    "shobj_description",
    "to_regclass",
    "to_regtype",
    "pg_database_size",
    "pg_get_ruledef",
    "pg_get_functiondef",
    "has_database_privilege",
    "pg_get_function_identity_arguments",
    "version",
];

fn read(file: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/golden", file]
        .iter()
        .collect();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A database with PostgreSQL's catalog, empty.
fn with_catalog() -> Connection {
    let connection = open();
    let flags = FunctionFlags::SQLITE_UTF8;
    for name in CATALOG_FUNCTIONS {
        connection
            .create_scalar_function(*name, -1, flags, |_| Ok(rusqlite::types::Null))
            .expect("registered");
    }
    connection
        .execute_batch("ATTACH ':memory:' AS pg_catalog; ATTACH ':memory:' AS information_schema; ATTACH ':memory:' AS public")
        .expect("attached");
    for line in read("catalog.txt").lines() {
        let (name, columns) = line.split_once(' ').expect("name and columns");
        let table_oid = if name.starts_with("pg_catalog.") {
            ", tableoid oid"
        } else {
            ""
        };
        connection
            .execute_batch(&format!("CREATE TABLE {name} ({columns}{table_oid})"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    connection
}

/// Not DROP: each text is kept once, however often it was sent.
fn is_definition(sql: &str) -> bool {
    let verb = bellwether_types::lexer::verb(sql).unwrap_or_default();
    ["CREATE", "ALTER"].iter().any(|word| verb.starts_with(word))
}

/// The tables that were there before most programs came.
fn create_tables(connection: &Connection) {
    for sql in read("statements/psql.sql")
        .split("\n;;\n")
        .filter(|sql| sql.starts_with("create "))
    {
        for statement in translated(sql).expect("translated").statements {
            connection
                .execute_batch(&statement)
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
}

/// Complaints about one program's statements, in the order in which it sent them.
fn check(program: &str) -> Vec<String> {
    let connection = with_catalog();
    if program != "psql" {
        create_tables(&connection);
    }
    let mut complaints = Vec::new();
    for sql in read(&format!("statements/{program}.sql")).split("\n;;\n") {
        // What is no SQL is handled elsewhere: SET, SHOW, BEGIN, COPY.
        let is_sql = matches!(Command::parse(sql), Ok(Command::Sql { .. }));
        if !is_sql && !sql.to_ascii_lowercase().starts_with("truncate") {
            continue;
        }
        let shown: String = sql.chars().take(200).collect();
        let adds_foreign_key =
            sql.to_uppercase().starts_with("ALTER") && sql.to_uppercase().contains("FOREIGN KEY (");
        let is_expected = adds_foreign_key || REFUSED.iter().any(|begin| sql.starts_with(begin));
        let outcome = match translated(sql) {
            Err(error) => Err(format!("{error}: {shown}")),
            Ok(translation) => translation.statements.iter().try_for_each(|statement| {
                let prepared = connection.prepare(statement).map(|_| ());
                let done = match prepared {
                    Ok(()) if is_definition(statement) => connection.execute_batch(statement),
                    other => other,
                };
                done.map_err(|error| format!("{error}\n    {statement}"))
            }),
        };
        match (outcome, is_expected) {
            (Err(complaint), false) => complaints.push(complaint),
            (Ok(()), true) => complaints.push(format!("works now, take it out of REFUSED: {shown}")),
            _ => {}
        }
    }
    complaints
}

macro_rules! programs {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            let complaints = check(stringify!($name));
            assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
        }
    )*};
}

programs!(
    psql,
    pgbench,
    psycopg,
    asyncpg,
    node_postgres,
    drizzle,
    pgjdbc,
    sqlalchemy,
    django
);
