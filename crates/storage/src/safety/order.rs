//! What can be proven of the order in which a statement takes rows, from its text: ORDER BY on a unique key of the only
//! table that is read.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::ops::ControlFlow;
use std::ptr;

use bellwether_types::lexer::{self, Token};
use rusqlite::ffi;
use sqlparser::ast::{
    self, Expr, GroupByExpr, ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, Visit,
    Visitor,
};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::Parser;

use bellwether_types::ValueRef;

use crate::catalog::{Catalog, Key, Table};
use crate::database::Database;
use crate::error::SqliteError;
use crate::statement::Prepared;

/// All names by which SQLite knows the rowid, unless a column has them.
const ROWID_NAMES: [&str; 3] = ["rowid", "oid", "_rowid_"];

/// What is known of a statement from its text. What cannot be parsed is not proven.
#[derive(Debug, Default)]
pub(super) struct Statement {
    /// Every LIMIT in it takes rows in a total order.
    pub(super) limits_are_ordered: bool,
    /// It is an INSERT whose rows come in a total order: VALUES, or a SELECT in one.
    pub(super) source_is_ordered: bool,
    /// OR REPLACE, OR IGNORE, ON CONFLICT and their like.
    pub(super) resolves_conflicts: bool,
}

impl Statement {
    pub(super) fn read(database: &Database, catalog: &Catalog, sql: &str) -> Statement {
        let resolves_conflicts = names_conflict(sql);
        let has_limit = lexer::significant(sql).any(|token| token.is_word("LIMIT"));
        let parsed = Parser::parse_sql(&SQLiteDialect {}, sql);
        let Ok([statement]) = parsed.as_deref() else {
            return Statement {
                limits_are_ordered: !has_limit,
                source_is_ordered: false,
                resolves_conflicts,
            };
        };
        let mut queries = Queries {
            proof: Proof {
                database,
                catalog,
                common: BTreeSet::new(),
            },
            limits_are_ordered: true,
        };
        queries.proof.common = common_names(statement);
        let _ = statement.visit(&mut queries);
        let source_is_ordered = match statement {
            ast::Statement::Insert(insert) => match &insert.source {
                Some(source) => matches!(*source.body, SetExpr::Values(_)) || queries.proof.is_total(source),
                None => true,
            },
            _ => false,
        };
        Statement {
            limits_are_ordered: queries.limits_are_ordered,
            source_is_ordered,
            resolves_conflicts,
        }
    }
}

/// Whether a view or a trigger has a LIMIT, which the statement may come by.
pub(super) fn schema_limits(database: &Database) -> Result<bool, SqliteError> {
    any_text(database, "type IN ('view', 'trigger')", |sql| {
        lexer::significant(sql).any(|token| token.is_word("LIMIT"))
    })
}

/// Whether a table or a trigger says what becomes of conflicts.
pub(super) fn schema_resolves_conflicts(database: &Database) -> Result<bool, SqliteError> {
    any_text(database, "type IN ('table', 'trigger')", names_conflict)
}

fn any_text(database: &Database, which: &str, is_meant: impl Fn(&str) -> bool) -> Result<bool, SqliteError> {
    let sql = format!("SELECT sql FROM main.sqlite_schema WHERE {which}");
    let mut texts = Prepared::internal(database, &sql)?;
    while texts.step()? {
        if texts.string(0).is_some_and(&is_meant) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// REPLACE as a statement, OR with an action, ON CONFLICT. Also where a column is called so: in doubt.
fn names_conflict(sql: &str) -> bool {
    let mut before: Option<Token<'_>> = None;
    for token in lexer::significant(sql) {
        let follows = |word: &str| before.is_some_and(|before| before.is_word(word));
        let acts = ["REPLACE", "IGNORE", "FAIL", "ROLLBACK", "ABORT"]
            .iter()
            .any(|word| token.is_word(word));
        let begins =
            before.is_none_or(|before| before.is_word("BEGIN") || before.kind == lexer::TokenKind::Semicolon);
        if (acts && follows("OR")) || (token.is_word("REPLACE") && begins) {
            return true;
        }
        if token.is_word("CONFLICT") && follows("ON") {
            return true;
        }
        before = Some(token);
    }
    false
}

/// Names that stand for queries of the statement, not for tables.
fn common_names(statement: &ast::Statement) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| &with.cte_tables);
            self.0
                .extend(tables.map(|table| table.alias.name.value.to_lowercase()));
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(BTreeSet::new());
    let _ = statement.visit(&mut names);
    names.0
}

struct Queries<'a> {
    proof: Proof<'a>,
    limits_are_ordered: bool,
}

impl Visitor for Queries<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let is_limited = query.limit_clause.is_some() || query.fetch.is_some();
        if is_limited && !self.proof.is_total(query) {
            self.limits_are_ordered = false;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

struct Proof<'a> {
    database: &'a Database,
    catalog: &'a Catalog,
    common: BTreeSet<String>,
}

impl Proof<'_> {
    /// Whether its ORDER BY leaves no two rows alike.
    fn is_total(&self, query: &Query) -> bool {
        let SetExpr::Select(select) = &*query.body else {
            return false;
        };
        let Some(table) = self.only_table(select) else {
            return false;
        };
        let Some(OrderByKind::Expressions(terms)) = query.order_by.as_ref().map(|order| &order.kind) else {
            return false;
        };
        let ordered: BTreeSet<String> = terms.iter().filter_map(|term| column(&term.expr)).collect();
        let means_itself = |name: &String| {
            select.projection.iter().all(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    !alias.value.eq_ignore_ascii_case(name) || column(expr).as_ref() == Some(name)
                }
                SelectItem::ExprWithAliases { .. } => false,
                _ => true,
            })
        };
        let ordered: BTreeSet<String> = ordered.into_iter().filter(means_itself).collect();
        let keys = self.unique_keys(table).unwrap_or_default();
        keys.iter().any(|key| key.is_subset(&ordered))
    }

    /// Of a plain SELECT from one table of the database.
    fn only_table(&self, select: &Select) -> Option<&Table> {
        let [from] = select.from.as_slice() else {
            return None;
        };
        let is_grouped = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(terms, _) => !terms.is_empty(),
        };
        let TableFactor::Table { name, args: None, .. } = &from.relation else {
            return None;
        };
        if !from.joins.is_empty() || is_grouped || select.distinct.is_some() {
            return None;
        }
        let name = last_name(name)?;
        if self.common.contains(&name) {
            return None;
        }
        let mut tables = self.catalog.tables.values();
        tables
            .find(|table| table.name.eq_ignore_ascii_case(&name))
            .map(AsRef::as_ref)
    }

    /// Sets of columns, in lower case, in which no two rows are alike under the columns' own collations.
    fn unique_keys(&self, table: &Table) -> Result<Vec<BTreeSet<String>>, SqliteError> {
        let mut keys = Vec::new();
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        if !matches!(table.key, Key::Primary(_)) {
            let is_free = |name: &&str| !columns.iter().any(|column| column.eq_ignore_ascii_case(name));
            let names = ROWID_NAMES.into_iter().filter(is_free);
            keys.extend(names.map(|name| BTreeSet::from([name.to_owned()])));
        }
        if let Key::IntegerPrimary(place) = table.key
            && let Some(column) = table.stored_columns().nth(place)
        {
            keys.push(BTreeSet::from([column.name.to_lowercase()]));
        }
        let sql = "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" AND NOT partial";
        let mut indexes = Prepared::internal(self.database, sql)?;
        indexes.bind(1, ValueRef::Text(table.name.as_bytes()))?;
        while indexes.step()? {
            if let Some(key) = self.index_key(table, indexes.string(0).unwrap_or_default())? {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// The columns of an index, if none can be NULL or is compared otherwise than the column itself.
    fn index_key(&self, table: &Table, index: &str) -> Result<Option<BTreeSet<String>>, SqliteError> {
        let mut key = BTreeSet::new();
        let sql = "SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key";
        let mut columns = Prepared::internal(self.database, sql)?;
        columns.bind(1, ValueRef::Text(index.as_bytes()))?;
        while columns.step()? {
            // None: an expression.
            let (Some(name), Some(collation)) = (columns.string(0), columns.string(1)) else {
                return Ok(None);
            };
            if !self.is_keyed(&table.name, name, collation) {
                return Ok(None);
            }
            key.insert(name.to_lowercase());
        }
        Ok(Some(key))
    }

    /// Whether a column is NOT NULL and of this collation.
    fn is_keyed(&self, table: &str, column: &str, collation: &str) -> bool {
        let (Ok(table), Ok(column)) = (CString::new(table), CString::new(column)) else {
            return false;
        };
        let (mut own, mut is_not_null) = (ptr::null(), 0);
        // SAFETY: an open connection, names that end with a zero, out pointers that are valid or null.
        unsafe {
            let code = ffi::sqlite3_table_column_metadata(
                self.database.handle(),
                c"main".as_ptr(),
                table.as_ptr(),
                column.as_ptr(),
                ptr::null_mut(),
                &mut own,
                &mut is_not_null,
                ptr::null_mut(),
                ptr::null_mut(),
            );
            code == ffi::SQLITE_OK
                && is_not_null != 0
                && !own.is_null()
                && CStr::from_ptr(own)
                    .to_bytes()
                    .eq_ignore_ascii_case(collation.as_bytes())
        }
    }
}

/// The column that an expression is, in lower case, if it is nothing else.
fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.to_lowercase()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.to_lowercase()),
        _ => None,
    }
}

fn last_name(name: &ObjectName) -> Option<String> {
    let last = name.0.last()?.as_ident()?;
    Some(last.value.to_lowercase())
}
