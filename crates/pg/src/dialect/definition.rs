//! ALTER, DROP and TRUNCATE: where PostgreSQL does several things in one statement, SQLite does them one by one.

use bellwether_types::{ErrorKind, SqlError};
use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, CascadeOption, DataType, DropBehavior, Ident,
    IndexColumn, ObjectName, ObjectType, Statement, TableConstraint, Truncate, TruncateIdentityOption,
};

use super::{Translator, index, refuse, table};

/// Before what is inside is looked at.
pub(super) fn enter_alter(alter: &mut AlterTable, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    if alter.if_exists {
        let hint = "Leave IF EXISTS out.";
        return Err(translator.refuse("ALTER TABLE IF EXISTS", &alter.name, hint));
    }
    alter.only = false;
    for operation in &mut alter.operations {
        enter_operation(operation, &alter.name, translator)?;
    }
    Ok(())
}

fn enter_operation(
    operation: &mut AlterTableOperation,
    at: &ObjectName,
    translator: &mut Translator<'_>,
) -> Result<(), SqlError> {
    match operation {
        AlterTableOperation::AddColumn {
            if_not_exists: false,
            column_def,
            column_position: None,
            ..
        } => table::enter_column(column_def, false, translator),
        AlterTableOperation::DropColumn {
            if_exists: false,
            drop_behavior,
            ..
        } => {
            cascade(drop_behavior, translator);
            Ok(())
        }
        AlterTableOperation::RenameColumn { .. } | AlterTableOperation::RenameTable { .. } => Ok(()),
        AlterTableOperation::AddConstraint {
            constraint,
            not_valid: false,
        } => match constraint {
            TableConstraint::PrimaryKey(key) if key.include.is_empty() => {
                index::columns(&mut key.columns, translator)
            }
            TableConstraint::Unique(key) if key.include.is_empty() => {
                index::columns(&mut key.columns, translator)
            }
            TableConstraint::Check(check) if !check.no_inherit && check.enforced.is_none() => Ok(()),
            TableConstraint::ForeignKey(key) => table::foreign_key(key, translator),
            other => Err(translator.refuse(&*other, at, "Declare it in CREATE TABLE.")),
        },
        AlterTableOperation::DropConstraint { drop_behavior, .. } => {
            cascade(drop_behavior, translator);
            Ok(())
        }
        AlterTableOperation::AlterColumn { op, .. } => enter_change(op, at, translator),
        AlterTableOperation::AddColumn {
            if_not_exists: true, ..
        } => Err(translator.refuse("ADD COLUMN IF NOT EXISTS", at, "Leave IF NOT EXISTS out.")),
        AlterTableOperation::SetOptionsParens { .. } => {
            translator.notice(
                "storage parameters have no effect",
                "They tell how PostgreSQL lays rows out in its pages.",
            );
            Ok(())
        }
        other => {
            let hint = "SQLite can ADD, DROP and RENAME columns, RENAME tables and ADD some constraints.";
            Err(translator.refuse(format!("ALTER TABLE ... {other}"), at, hint))
        }
    }
}

/// Of a column that is there.
fn enter_change(
    op: &mut AlterColumnOperation,
    at: &ObjectName,
    translator: &Translator<'_>,
) -> Result<(), SqlError> {
    match op {
        AlterColumnOperation::SetDataType { data_type, .. } => {
            if let DataType::Array(_) = data_type {
                *data_type = DataType::Text;
            }
            Ok(())
        }
        AlterColumnOperation::AddGenerated { .. } => {
            let hint = "Only the primary key numbers itself: declare it so in CREATE TABLE.";
            Err(translator.refuse(format!("ALTER COLUMN {op}"), at, hint))
        }
        AlterColumnOperation::SetNotNull
        | AlterColumnOperation::DropNotNull
        | AlterColumnOperation::SetDefault { .. }
        | AlterColumnOperation::DropDefault => Ok(()),
    }
}

/// RESTRICT is what SQLite does; CASCADE would drop what refers to it, which stays here.
fn cascade(behavior: &mut Option<DropBehavior>, translator: &mut Translator<'_>) {
    if behavior.take() == Some(DropBehavior::Cascade) {
        cascade_notice(translator);
    }
}

fn cascade_notice(translator: &mut Translator<'_>) {
    translator.notice(
        "views and foreign keys that refer to it stay",
        "CASCADE has no effect: DROP them too, or they will fail when they are used.",
    );
}

/// After what is inside has been looked at: one statement for each operation.
pub(super) fn leave_alter(
    alter: AlterTable,
    translator: &mut Translator<'_>,
) -> Result<Vec<String>, SqlError> {
    let mut statements = Vec::new();
    for mut operation in alter.operations {
        match &mut operation {
            AlterTableOperation::AddColumn { column_def, .. } => {
                table::leave_columns(std::iter::once(column_def));
            }
            AlterTableOperation::AlterColumn {
                op: AlterColumnOperation::SetDefault { value },
                ..
            } => table::finish_default(value),
            _ => {}
        }
        match operation {
            AlterTableOperation::AddConstraint {
                constraint: TableConstraint::PrimaryKey(key),
                ..
            } => {
                statements.push(unique_index(
                    &alter.name,
                    key.name,
                    key.columns,
                    "pkey",
                    translator,
                ));
            }
            AlterTableOperation::AddConstraint {
                constraint: TableConstraint::Unique(key),
                ..
            } => {
                statements.push(unique_index(
                    &alter.name,
                    key.name,
                    key.columns,
                    "key",
                    translator,
                ));
            }
            AlterTableOperation::DropColumn { column_names, .. } => statements.extend(
                column_names
                    .iter()
                    .map(|column| format!("ALTER TABLE {} DROP COLUMN {column}", alter.name)),
            ),
            AlterTableOperation::SetOptionsParens { .. } => {}
            other => statements.push(format!("ALTER TABLE {} {other}", alter.name)),
        }
    }
    Ok(statements)
}

/// A key that comes after its table can only be an index here.
fn unique_index(
    table: &ObjectName,
    name: Option<Ident>,
    columns: Vec<IndexColumn>,
    suffix: &str,
    translator: &mut Translator<'_>,
) -> String {
    let mut bare = table.clone();
    let schema = index::split_schema(&mut bare)
        .map(|schema| format!("{schema}."))
        .unwrap_or_default();
    // PostgreSQL names a primary key after its table alone.
    let named_after = if suffix == "pkey" { &[][..] } else { &columns[..] };
    let name = name.map_or_else(
        || index::own_name(&bare, named_after, suffix),
        |name| vec![name].into(),
    );
    if suffix == "pkey" {
        translator.notice(
            format!("the primary key is the unique index {name}"),
            "Columns that are not declared NOT NULL may still hold NULLs.",
        );
    }
    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
    format!(
        "CREATE UNIQUE INDEX {schema}{name} ON {bare} ({})",
        columns.join(", ")
    )
}

/// DROP of several objects, or with CASCADE.
pub(super) fn drop(statement: &Statement, translator: &mut Translator<'_>) -> Result<Vec<String>, SqlError> {
    let Statement::Drop {
        object_type,
        if_exists,
        names,
        cascade,
        purge: false,
        temporary: false,
        table: None,
        ..
    } = statement
    else {
        return Err(refuse("this form of DROP", ""));
    };
    let kind = match object_type {
        ObjectType::Table => "TABLE",
        ObjectType::View => "VIEW",
        ObjectType::Index => "INDEX",
        other => return never_there(&other.to_string(), *if_exists, names, translator),
    };
    if *cascade && kind != "INDEX" {
        cascade_notice(translator);
    }
    let if_exists = if *if_exists { "IF EXISTS " } else { "" };
    Ok(names
        .iter()
        .map(|name| format!("DROP {kind} {if_exists}{name}"))
        .collect())
}

/// Objects of kinds that do not exist here: none is there, so IF EXISTS has nothing to do.
pub(super) fn never_there(
    kind: &str,
    if_exists: bool,
    names: &[ObjectName],
    translator: &mut Translator<'_>,
) -> Result<Vec<String>, SqlError> {
    let kind = kind.to_lowercase();
    for name in names {
        if !if_exists {
            let message = format!("{kind} \"{name}\" does not exist");
            return Err(SqlError::new(ErrorKind::NotSupported, message)
                .with_hint(format!("There are no objects of kind {kind} here.")));
        }
        translator.notice(format!("{kind} \"{name}\" does not exist, skipping"), "");
    }
    Ok(Vec::new())
}

/// TRUNCATE is DELETE without WHERE, which SQLite does without looking at the rows.
pub(super) fn truncate(truncate: &Truncate, translator: &Translator<'_>) -> Result<Vec<String>, SqlError> {
    let at = &truncate.table_names[0].name;
    if truncate.cascade == Some(CascadeOption::Cascade) {
        let hint = "Name the tables that refer to it before it: TRUNCATE child, parent.";
        return Err(translator.refuse("TRUNCATE ... CASCADE", at, hint));
    }
    if truncate.partitions.is_some() || truncate.if_exists || truncate.on_cluster.is_some() {
        return Err(translator.refuse("this form of TRUNCATE", at, ""));
    }
    let mut statements: Vec<String> = truncate
        .table_names
        .iter()
        .map(|table| format!("DELETE FROM {}", table.name))
        .collect();
    if truncate.identity == Some(TruncateIdentityOption::Restart) {
        let names = truncate
            .table_names
            .iter()
            .filter_map(|table| table.name.0.last()?.as_ident());
        let names: Vec<String> = names
            .map(|name| format!("'{}'", name.value.replace('\'', "''")))
            .collect();
        statements.push(format!(
            "UPDATE sqlite_sequence SET seq = 0 WHERE name IN ({})",
            names.join(", ")
        ));
    }
    Ok(statements)
}
