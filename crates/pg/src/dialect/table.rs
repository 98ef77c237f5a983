//! CREATE TABLE and its columns and constraints.

use bellwether_types::SqlError;
use sqlparser::ast::{
    ColumnDef, ColumnOption, ConstraintReferenceMatchKind, CreateTable, CreateTableOptions, DataType, Expr,
    ForeignKeyConstraint, Ident, NullsDistinctOption, Spanned, TableConstraint, UnaryOperator, Value,
};

use super::sequence::{Numbering, take_numbering};
use super::sql::constant;
use super::{Place, Translator, column_name, data, index, pattern};

const UNIQUE_HINT: &str =
    "NULLs are distinct here; write CREATE UNIQUE INDEX ... WHERE for what they should be.";

/// Before what is inside is looked at.
pub(super) fn enter(table: &mut CreateTable, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let refused = [
        (
            table.unlogged,
            "CREATE UNLOGGED TABLE",
            "Leave UNLOGGED out: every table is replicated.",
        ),
        (
            table.or_replace,
            "CREATE OR REPLACE TABLE",
            "DROP TABLE IF EXISTS first.",
        ),
        (table.inherits.is_some(), "INHERITS", "Repeat the columns."),
        (
            table.partition_by.is_some() || table.partition_of.is_some(),
            "partitioning",
            "Use one table.",
        ),
        (
            table.like.is_some(),
            "CREATE TABLE ... LIKE",
            "Repeat the columns, or CREATE TABLE ... AS SELECT.",
        ),
        (
            table.on_commit.is_some(),
            "ON COMMIT",
            "There are no temporary tables.",
        ),
        (!is_usual(table), "this form of CREATE TABLE", ""),
    ];
    if let Some((_, what, hint)) = refused.iter().find(|(is_so, ..)| *is_so) {
        return Err(translator.refuse(what, &table.name, hint));
    }
    storage_parameters(&mut table.table_options, &table.name, translator)?;
    if let Some(query) = &mut table.query {
        column_name::of_query(query);
    }
    let sole_key = sole_key(table);
    for column in &mut table.columns {
        let is_sole_key = sole_key.as_deref() == Some(column.name.value.as_str());
        enter_column(column, is_sole_key, translator)?;
    }
    let numbers_itself = |column: &ColumnDef| is_numbered(column);
    if table.columns.iter().any(numbers_itself) {
        table
            .constraints
            .retain(|constraint| !matches!(constraint, TableConstraint::PrimaryKey(_)));
    }
    for constraint in &mut table.constraints {
        enter_constraint(constraint, translator)?;
    }
    Ok(())
}

/// Nothing of other databases is said.
fn is_usual(table: &CreateTable) -> bool {
    !table.external
        && !table.dynamic
        && table.global.is_none()
        && !table.transient
        && !table.volatile
        && !table.iceberg
        && !table.snapshot
        && table.file_format.is_none()
        && table.location.is_none()
        && table.clone.is_none()
        && table.version.is_none()
        && table.comment.is_none()
        && table.on_cluster.is_none()
        && table.primary_key.is_none()
        && table.order_by.is_none()
        && table.cluster_by.is_none()
        && table.clustered_by.is_none()
        && table.for_values.is_none()
        && table.with_data.is_none()
}

/// `WITH (fillfactor = 90)` tells how PostgreSQL fills pages: there is nothing to be filled so.
pub(super) fn storage_parameters(
    options: &mut CreateTableOptions,
    at: &impl Spanned,
    translator: &mut Translator<'_>,
) -> Result<(), SqlError> {
    match std::mem::replace(options, CreateTableOptions::None) {
        CreateTableOptions::None => Ok(()),
        CreateTableOptions::With(parameters) => {
            let names: Vec<String> = parameters.iter().map(ToString::to_string).collect();
            let detail = "They tell how PostgreSQL lays rows out in its pages.";
            translator.notice(
                format!("storage parameters have no effect: {}", names.join(", ")),
                detail,
            );
            Ok(())
        }
        other => Err(translator.refuse(&other, at, "Leave the options out.")),
    }
}

/// The one column of the primary key, if it is one.
fn sole_key(table: &CreateTable) -> Option<String> {
    let declared = table.constraints.iter().find_map(|constraint| match constraint {
        TableConstraint::PrimaryKey(key) => Some(key),
        _ => None,
    });
    if let Some(key) = declared {
        let [column] = key.columns.as_slice() else {
            return None;
        };
        return match &column.column.expr {
            Expr::Identifier(name) => Some(name.value.clone()),
            _ => None,
        };
    }
    let is_key = |column: &&ColumnDef| {
        column
            .options
            .iter()
            .any(|definition| matches!(definition.option, ColumnOption::PrimaryKey(_)))
    };
    table
        .columns
        .iter()
        .find(is_key)
        .map(|column| column.name.value.clone())
}

/// A column of CREATE TABLE or ADD COLUMN.
pub(super) fn enter_column(
    column: &mut ColumnDef,
    is_sole_key: bool,
    translator: &mut Translator<'_>,
) -> Result<(), SqlError> {
    if let Some(numbering) = take_numbering(column, translator)? {
        if !is_sole_key {
            let hint = "Make it the primary key, or give its values yourself.";
            let what = "a serial or identity column that is not the primary key";
            return Err(translator.refuse(what, &Place::from(&column.name), hint));
        }
        number(column, numbering, translator);
    }
    if let DataType::Array(_) = column.data_type {
        column.data_type = DataType::Text;
    }
    for definition in &mut column.options {
        enter_option(&mut definition.option, &column.name, translator)?;
    }
    column.options.retain(|definition| {
        !matches!(&definition.option, ColumnOption::Collation(name) if pattern::is_byte_order(name))
    });
    Ok(())
}

/// What SQLite numbers by itself is INTEGER PRIMARY KEY, and nothing else.
fn number(column: &mut ColumnDef, numbering: Numbering, translator: &mut Translator<'_>) {
    if numbering == Numbering::Always {
        translator.notice(
            format!("values given for column \"{}\" are taken", column.name.value),
            "GENERATED ALWAYS is as GENERATED BY DEFAULT here.",
        );
    }
    column.data_type = DataType::Integer(None);
    column.options.retain(|definition| {
        !matches!(
            definition.option,
            ColumnOption::PrimaryKey(_) | ColumnOption::NotNull
        )
    });
    let numbered = ColumnOption::DialectSpecific(
        ["PRIMARY", "KEY", "AUTOINCREMENT"]
            .iter()
            .map(|word| sqlparser::tokenizer::Token::make_keyword(word))
            .collect(),
    );
    column.options.insert(
        0,
        sqlparser::ast::ColumnOptionDef {
            name: None,
            option: numbered,
        },
    );
}

fn is_numbered(column: &ColumnDef) -> bool {
    column
        .options
        .iter()
        .any(|definition| matches!(&definition.option, ColumnOption::DialectSpecific(_)))
}

fn enter_option(option: &mut ColumnOption, at: &Ident, translator: &Translator<'_>) -> Result<(), SqlError> {
    match option {
        ColumnOption::Null
        | ColumnOption::NotNull
        | ColumnOption::Default(_)
        | ColumnOption::DialectSpecific(_)
        | ColumnOption::OnConflict(_) => Ok(()),
        ColumnOption::PrimaryKey(key) => not_deferred(key.characteristics.as_ref(), at, translator),
        ColumnOption::Unique(unique) => {
            if unique.nulls_distinct == NullsDistinctOption::NotDistinct {
                return Err(translator.refuse("NULLS NOT DISTINCT", &Place::from(at), UNIQUE_HINT));
            }
            unique.nulls_distinct = NullsDistinctOption::None;
            not_deferred(unique.characteristics.as_ref(), at, translator)
        }
        ColumnOption::Check(check) if !check.no_inherit && check.enforced.is_none() => Ok(()),
        ColumnOption::ForeignKey(key) => foreign_key(key, translator),
        ColumnOption::Collation(name)
            if pattern::is_byte_order(name) || pattern::known_collation(name).is_some() =>
        {
            Ok(())
        }
        ColumnOption::Generated {
            generation_expr: Some(_),
            ..
        } => Ok(()),
        ColumnOption::Collation(name) => {
            let hint = "Collations are BINARY (byte order, also \"C\" and \"default\"), NOCASE and RTRIM.";
            Err(translator.refuse(format!("collation {name}"), &Place::from(at), hint))
        }
        other => Err(translator.refuse(&*other, &Place::from(at), "")),
    }
}

fn not_deferred(
    characteristics: Option<&sqlparser::ast::ConstraintCharacteristics>,
    at: &Ident,
    translator: &Translator<'_>,
) -> Result<(), SqlError> {
    let is_deferrable = characteristics.is_some_and(|given| {
        given.deferrable == Some(true) || given.initially.is_some() || given.enforced.is_some()
    });
    if is_deferrable {
        let hint = "Only foreign keys can be checked at the end of a transaction.";
        return Err(translator.refuse("a deferrable UNIQUE or PRIMARY KEY", &Place::from(at), hint));
    }
    Ok(())
}

/// SQLite takes any MATCH and means SIMPLE; what is referred to is in the same schema.
pub(super) fn foreign_key(
    key: &mut ForeignKeyConstraint,
    translator: &Translator<'_>,
) -> Result<(), SqlError> {
    index::split_schema(&mut key.foreign_table);
    match key.match_kind.take() {
        None | Some(ConstraintReferenceMatchKind::Simple) => Ok(()),
        Some(other) => {
            let hint = "Foreign keys are MATCH SIMPLE; declare the columns NOT NULL.";
            Err(translator.refuse(other, &key.foreign_table, hint))
        }
    }
}

fn enter_constraint(constraint: &mut TableConstraint, translator: &Translator<'_>) -> Result<(), SqlError> {
    let nowhere = Ident::new("");
    let name = |name: &Option<Ident>| name.clone().unwrap_or_else(|| nowhere.clone());
    match constraint {
        TableConstraint::PrimaryKey(key) if key.include.is_empty() && key.index_options.is_empty() => {
            not_deferred(key.characteristics.as_ref(), &name(&key.name), translator)
        }
        TableConstraint::Unique(unique) if unique.include.is_empty() && unique.index_options.is_empty() => {
            if unique.nulls_distinct == NullsDistinctOption::NotDistinct {
                return Err(translator.refuse(
                    "NULLS NOT DISTINCT",
                    &Place::from(&name(&unique.name)),
                    UNIQUE_HINT,
                ));
            }
            unique.nulls_distinct = NullsDistinctOption::None;
            not_deferred(unique.characteristics.as_ref(), &name(&unique.name), translator)
        }
        TableConstraint::ForeignKey(key) => foreign_key(key, translator),
        TableConstraint::Check(check) if !check.no_inherit && check.enforced.is_none() => Ok(()),
        other => {
            let hint = "SQLite's constraints are PRIMARY KEY, UNIQUE, CHECK and FOREIGN KEY over columns.";
            Err(translator.refuse(&*other, &Place::from(&nowhere), hint))
        }
    }
}

/// After what is inside has been looked at: SQLite wants parentheses around a default that is not a literal.
pub(super) fn leave_columns<'c>(columns: impl Iterator<Item = &'c mut ColumnDef>) {
    for column in columns {
        for definition in &mut column.options {
            if let ColumnOption::Default(value) = &mut definition.option {
                finish_default(value);
            }
        }
    }
}

pub(super) fn finish_default(value: &mut Expr) {
    if let Some(constant) = constant(value) {
        *value = constant;
    }
    let is_literal = match value {
        Expr::Value(literal) => !matches!(literal.value, Value::Placeholder(_)),
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr,
        } => matches!(**expr, Expr::Value(_)),
        Expr::Function(function) => matches!(function.args, sqlparser::ast::FunctionArguments::None),
        _ => false,
    };
    if !is_literal {
        data::in_parentheses(value);
    }
}
