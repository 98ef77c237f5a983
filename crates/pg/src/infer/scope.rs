//! Which tables a part of a statement sees, and the types of their columns: those of the schema, subqueries in FROM,
//! common table expressions; and, outside of a subquery, what its surroundings see.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sqlparser::ast::{
    Delete, FromTable, Ident, Insert, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias, TableFactor, TableObject,
    TableWithJoins, Update, UpdateTableFromKind, Values, With,
};

use super::Schema;
use super::expression::both;
use crate::types::{Type, of_declared};

/// A column; what a `*` stands for where that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    Known { name: String, type_: Option<Type> },
    Unknown,
}

pub(super) type Columns = Vec<Column>;

/// SQLite's own limit: a `*` of a `*` may stand for any number.
const MAX_COLUMNS: usize = 2_000;

/// Further common table expressions of one WITH are not known.
const MAX_COMMON_TABLES: usize = 100;

/// What one query, SELECT or statement adds to what can be named inside it.
#[derive(Default)]
struct Level {
    outer: Option<Rc<Level>>,
    /// Common table expressions.
    queries: Vec<(String, Columns)>,
    /// Tables by their name or alias.
    tables: Vec<(String, Columns)>,
    /// `*` does not stand for the columns of all tables, one after the other: some are joined to one.
    merges_columns: bool,
}

/// What can be named at one place of a statement. Cheap to clone.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    level: Rc<Level>,
    schema: &'a dyn Schema,
    /// Tables that the schema was asked for.
    asked: Rc<RefCell<BTreeMap<String, Columns>>>,
}

/// The last part of a name, which is the table's or column's own.
pub(super) fn last_name(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.clone())
}

impl<'a> Scope<'a> {
    /// Outside of any statement.
    pub(super) fn new(schema: &'a dyn Schema) -> Scope<'a> {
        Scope {
            level: Rc::default(),
            schema,
            asked: Rc::default(),
        }
    }

    fn inside(&self, level: Level) -> Scope<'a> {
        Scope {
            level: Rc::new(Level {
                outer: Some(Rc::clone(&self.level)),
                ..level
            }),
            ..self.clone()
        }
    }

    /// Inside a query: with its common table expressions.
    pub(super) fn in_query(&self, query: &Query) -> Scope<'a> {
        let Some(with) = &query.with else {
            return self.inside(Level::default());
        };
        let mut scope = self.inside(Level::default());
        for cte in with.cte_tables.iter().take(MAX_COMMON_TABLES) {
            let columns = scope.of_common_table(with, &cte.query, &cte.alias);
            let mut queries = scope.level.queries.clone();
            queries.push((cte.alias.name.value.clone(), columns));
            scope = self.inside(Level {
                queries,
                ..Level::default()
            });
        }
        scope
    }

    /// PostgreSQL's rule for a recursive one: its first part tells the types.
    fn of_common_table(&self, with: &With, query: &Query, alias: &TableAlias) -> Columns {
        let columns = if with.recursive && matches!(*query.body, SetExpr::SetOperation { .. }) {
            let scope = self.in_query(query);
            let mut columns = scope.of_set(first_part(&query.body));
            // A number that is counted up from may outgrow its first type.
            for column in &mut columns {
                if let Column::Known {
                    type_: type_ @ Some(Type::Int2 | Type::Int4 | Type::Bool),
                    ..
                } = column
                {
                    *type_ = Some(Type::Int8);
                }
            }
            columns
        } else {
            self.of_query(query)
        };
        renamed(columns, alias)
    }

    /// Inside a SELECT: with its tables.
    pub(super) fn in_select(&self, select: &Select) -> Scope<'a> {
        self.with_tables(&select.from)
    }

    fn with_tables(&self, from: &[TableWithJoins]) -> Scope<'a> {
        let mut level = Level::default();
        for tables in from {
            self.add_tables(tables, &mut level);
        }
        self.inside(level)
    }

    /// Inside INSERT, UPDATE, DELETE: with the tables that they name.
    pub(super) fn in_statement(&self, statement: &Statement) -> Scope<'a> {
        let mut level = Level::default();
        match statement {
            Statement::Insert(Insert {
                table: TableObject::TableName(name),
                table_alias,
                ..
            }) => {
                let columns = self.of_table(name);
                let alias = table_alias.as_ref().map(|alias| alias.alias.value.clone());
                level.tables.push((
                    alias.or_else(|| last_name(name)).unwrap_or_default(),
                    columns.clone(),
                ));
                // Named with its qualifier only: alone, a column is the table's.
                let outer = Level {
                    tables: vec![("excluded".to_owned(), columns)],
                    ..Level::default()
                };
                return self.inside(outer).inside(level);
            }
            Statement::Update(Update { table, from, .. }) => {
                let mut outer = Level::default();
                if let Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) = from
                {
                    from.iter().for_each(|tables| self.add_tables(tables, &mut outer));
                }
                self.add_tables(table, &mut level);
                // A column that is set is the table's, also where another table has one of that name.
                return self.inside(outer).inside(level);
            }
            Statement::Delete(Delete { from, using, .. }) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
                let using = using.iter().flatten();
                from.iter()
                    .chain(using)
                    .for_each(|tables| self.add_tables(tables, &mut level));
            }
            _ => {}
        }
        self.inside(level)
    }

    fn add_tables(&self, tables: &TableWithJoins, level: &mut Level) {
        self.add_table(&tables.relation, level);
        for join in &tables.joins {
            self.add_table(&join.relation, level);
            level.merges_columns |= merges_columns(&join.join_operator);
        }
    }

    fn add_table(&self, table: &TableFactor, level: &mut Level) {
        match table {
            TableFactor::Table { name, alias, .. } => {
                let columns = match name.0.as_slice() {
                    [only] => only
                        .as_ident()
                        .and_then(|name| self.common_table(&name.value))
                        .unwrap_or_else(|| self.of_table(name)),
                    _ => self.of_table(name),
                };
                let alias = alias.as_ref().map(|alias| alias.name.value.clone());
                level
                    .tables
                    .push((alias.or_else(|| last_name(name)).unwrap_or_default(), columns));
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let columns = self.of_query(subquery);
                let (name, columns) = match alias {
                    Some(alias) => (alias.name.value.clone(), renamed(columns, alias)),
                    None => (String::new(), columns),
                };
                level.tables.push((name, columns));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.add_tables(table_with_joins, level),
            _ => level.tables.push((String::new(), vec![Column::Unknown])),
        }
    }

    fn levels(&self) -> impl Iterator<Item = &Level> {
        std::iter::successors(Some(&*self.level), |level| level.outer.as_deref())
    }

    fn common_table(&self, name: &str) -> Option<Columns> {
        let mut queries = self.levels().flat_map(|level| &level.queries);
        queries
            .find(|(query, _)| query.eq_ignore_ascii_case(name))
            .map(|(_, columns)| columns.clone())
    }

    /// A table's of the schema; `Unknown` for one that is not there.
    pub(super) fn of_table(&self, name: &ObjectName) -> Columns {
        let Some(table) = last_name(name) else {
            return vec![Column::Unknown];
        };
        let table = table.to_ascii_lowercase();
        if let Some(known) = self.asked.borrow().get(&table) {
            return known.clone();
        }
        let declared = self.schema.columns(&table).into_iter();
        let mut columns: Columns = declared
            .map(|(name, declared)| Column::Known {
                name,
                type_: (!declared.is_empty()).then(|| of_declared(&declared).type_),
            })
            .collect();
        if columns.is_empty() {
            columns.push(Column::Unknown);
        }
        self.asked.borrow_mut().insert(table, columns.clone());
        columns
    }

    /// What a query answers.
    pub(super) fn of_query(&self, query: &Query) -> Columns {
        self.in_query(query).of_set(&query.body)
    }

    fn of_set(&self, set: &SetExpr) -> Columns {
        match set {
            SetExpr::Select(select) => self.in_select(select).of_items(&select.projection),
            SetExpr::Query(query) => self.of_query(query),
            SetExpr::Values(values) => self.of_values(values),
            SetExpr::SetOperation { .. } => {
                // Long chains lean to the left: walked without recursion.
                let mut parts = vec![];
                let mut rest = set;
                while let SetExpr::SetOperation { left, right, .. } = rest {
                    parts.push(self.of_set(right));
                    rest = left;
                }
                let first = self.of_set(rest);
                parts.into_iter().fold(first, agree)
            }
            SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) => {
                self.of_statement(statement)
            }
            _ => vec![Column::Unknown],
        }
    }

    fn of_values(&self, values: &Values) -> Columns {
        let rows = values.rows.iter().map(|row| {
            let types = row.iter().enumerate().map(|(index, value)| Column::Known {
                name: format!("column{}", index + 1),
                type_: self.type_of(value),
            });
            types.collect()
        });
        rows.reduce(agree).unwrap_or_default()
    }

    /// What a statement answers.
    pub(super) fn of_statement(&self, statement: &Statement) -> Columns {
        let returning = match statement {
            Statement::Query(query) => return self.of_query(query),
            Statement::Insert(insert) => &insert.returning,
            Statement::Update(update) => &update.returning,
            Statement::Delete(delete) => &delete.returning,
            _ => return vec![Column::Unknown],
        };
        let items = returning.as_deref().unwrap_or_default();
        self.in_statement(statement).of_items(items)
    }

    fn of_items(&self, items: &[SelectItem]) -> Columns {
        let mut columns = Vec::new();
        for item in items {
            if columns.len() > MAX_COLUMNS {
                return vec![Column::Unknown];
            }
            match item {
                SelectItem::UnnamedExpr(expr) => columns.push(Column::Known {
                    name: own_name(expr),
                    type_: self.type_of(expr),
                }),
                SelectItem::ExprWithAlias { expr, alias } => columns.push(Column::Known {
                    name: alias.value.clone(),
                    type_: self.type_of(expr),
                }),
                SelectItem::Wildcard(_) if self.level.merges_columns => columns.push(Column::Unknown),
                SelectItem::Wildcard(_) => {
                    columns.extend(self.level.tables.iter().flat_map(|(_, columns)| columns.clone()));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let name = last_name(name).unwrap_or_default();
                    columns.extend(self.table(&name).cloned().unwrap_or(vec![Column::Unknown]));
                }
                _ => columns.push(Column::Unknown),
            }
        }
        columns
    }

    fn table(&self, name: &str) -> Option<&Columns> {
        let mut tables = self.levels().flat_map(|level| &level.tables);
        tables
            .find(|(table, _)| table.eq_ignore_ascii_case(name))
            .map(|(_, columns)| columns)
    }

    /// The type of a column by its name. Alone, it is one of the innermost tables that have one, if they agree.
    pub(super) fn column(&self, parts: &[Ident]) -> Option<Type> {
        match parts {
            [column] => {
                for level in self.levels() {
                    let tables = level.tables.iter();
                    let mut found = tables.filter_map(|(_, columns)| find(columns, &column.value));
                    if let Some(first) = found.next() {
                        return found.all(|other| other == first).then_some(first).flatten();
                    }
                }
                None
            }
            [.., table, column] => find(self.table(&table.value)?, &column.value).flatten(),
            [] => None,
        }
    }
}

/// `None`: there is no such column; it may be one of further out.
fn find(columns: &[Column], wanted: &str) -> Option<Option<Type>> {
    let found = columns.iter().find_map(|column| match column {
        Column::Known { name, type_ } if name.eq_ignore_ascii_case(wanted) => Some(*type_),
        _ => None,
    });
    let is_rowid = || {
        ["rowid", "oid", "_rowid_"]
            .iter()
            .any(|name| wanted.eq_ignore_ascii_case(name))
    };
    match found {
        Some(type_) => Some(type_),
        None if columns.contains(&Column::Unknown) => Some(None),
        None => is_rowid().then_some(Some(Type::Int8)),
    }
}

/// A column's name as the result has it; expressions are not named by what SQLite calls them.
fn own_name(expr: &sqlparser::ast::Expr) -> String {
    match expr {
        sqlparser::ast::Expr::Identifier(name) => name.value.clone(),
        sqlparser::ast::Expr::CompoundIdentifier(parts) => {
            parts.last().map(|name| name.value.clone()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// With the names that an alias gives: `AS t(a, b)`.
fn renamed(mut columns: Columns, alias: &TableAlias) -> Columns {
    for (column, given) in columns.iter_mut().zip(&alias.columns) {
        if let Column::Known { name, .. } = column {
            name.clone_from(&given.name.value);
        }
    }
    columns
}

fn first_part(set: &SetExpr) -> &SetExpr {
    let mut first = set;
    while let SetExpr::SetOperation { left, .. } = first {
        first = left;
    }
    first
}

fn merges_columns(operator: &JoinOperator) -> bool {
    let (JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)
    | JoinOperator::Right(constraint)
    | JoinOperator::RightOuter(constraint)
    | JoinOperator::FullOuter(constraint)
    | JoinOperator::CrossJoin(constraint)) = operator
    else {
        return true;
    };
    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
}

/// Of a compound SELECT each column has the type that all its parts agree on, and the first one's name.
fn agree(left: Columns, right: Columns) -> Columns {
    let pairs = left.into_iter().zip(right);
    let agreed = pairs.map(|pair| match pair {
        (Column::Known { name, type_ }, Column::Known { type_: other, .. }) => Column::Known {
            name,
            type_: match (type_, other) {
                (Some(type_), Some(other)) => both(type_, other),
                _ => None,
            },
        },
        _ => Column::Unknown,
    });
    agreed.collect()
}
