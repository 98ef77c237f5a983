//! Virtual tables of an extension, as SQLite reads them: one module for all; a table's argument names its namespace.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use bellwether_types::extension::{RowKey, Rows, VirtualTable};
use bellwether_types::lexer::quoted_name;
use bellwether_types::{Extension, Facts, Value};
use rusqlite::{Connection, ffi};

use super::image::check;
use super::kept::Kept;
use super::{Attached, c_string, functions};
use crate::capture::row::read;
use crate::error::SqliteError;

/// The module's name, as in CREATE VIRTUAL TABLE.
pub(super) const MODULE: &str = "bellwether_extension";

/// What the planner is told of a look at all rows of a table of the schema, and at those of one key. Before the
/// statement runs nothing is known, and only that the one is much cheaper matters.
const ALL_ROWS: i64 = 10_000;
const KEY_ROWS: i64 = 4;
/// Tables of the session are small.
const SESSION_ROWS: i64 = 100;

/// What the module's tables need: of a scratch connection, which only creates them, no more than their shape.
struct Context {
    extension: &'static Extension,
    attached: Option<Arc<Attached>>,
}

#[repr(C)]
struct Table {
    base: ffi::sqlite3_vtab,
    table: &'static VirtualTable,
    /// Among the extension's tables.
    place: usize,
    attached: Option<Arc<Attached>>,
}

#[repr(C)]
struct Cursor {
    base: ffi::sqlite3_vtab_cursor,
    table: &'static VirtualTable,
    seen: Option<Seen>,
    at: usize,
}

/// What a scan goes over.
struct Seen {
    kept: Arc<Kept>,
    facts: Arc<Facts>,
    rows: Arc<[RowKey]>,
}

/// # Safety
/// As [`functions::register`].
pub(super) unsafe fn register(connection: &Connection, attached: &Arc<Attached>) -> rusqlite::Result<()> {
    create_module(
        connection,
        Context {
            extension: attached.shared.extension,
            attached: Some(Arc::clone(attached)),
        },
    )
}

/// For a connection on which the tables are only created.
pub(super) fn register_shape(connection: &Connection, extension: &'static Extension) -> rusqlite::Result<()> {
    create_module(
        connection,
        Context {
            extension,
            attached: None,
        },
    )
}

fn create_module(connection: &Connection, context: Context) -> rusqlite::Result<()> {
    let name = c_string(MODULE);
    let context = Box::into_raw(Box::new(context));
    // SAFETY: an open connection; the module is static; SQLite hands the box to `destroy`, also when it refuses.
    check(unsafe {
        ffi::sqlite3_create_module_v2(
            connection.handle(),
            name.as_ptr(),
            &raw const TABLES,
            context.cast(),
            Some(destroy),
        )
    })
}

unsafe extern "C" fn destroy(context: *mut c_void) {
    // SAFETY: made by `create_module`, dropped once.
    drop(unsafe { Box::from_raw(context.cast::<Context>()) });
}

/// Read-only: what would write is absent. `create` and `connect` differ, so that no table has the module's name.
static TABLES: ffi::sqlite3_module = ffi::sqlite3_module {
    iVersion: 1,
    xCreate: Some(create),
    xConnect: Some(connect),
    xBestIndex: Some(best_index),
    xDisconnect: Some(disconnect),
    xDestroy: Some(disconnect),
    xOpen: Some(open),
    xClose: Some(close),
    xFilter: Some(filter),
    xNext: Some(next),
    xEof: Some(eof),
    xColumn: Some(column),
    xRowid: Some(rowid),
    xUpdate: None,
    xBegin: None,
    xSync: None,
    xCommit: None,
    xRollback: None,
    xFindFunction: None,
    xRename: None,
    xSavepoint: None,
    xRelease: None,
    xRollbackTo: None,
    xShadowName: None,
    xIntegrity: None,
};

unsafe extern "C" fn create(
    db: *mut ffi::sqlite3,
    context: *mut c_void,
    count: c_int,
    arguments: *const *const c_char,
    answer: *mut *mut ffi::sqlite3_vtab,
    message: *mut *mut c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { connect(db, context, count, arguments, answer, message) }
}

unsafe extern "C" fn connect(
    db: *mut ffi::sqlite3,
    context: *mut c_void,
    count: c_int,
    arguments: *const *const c_char,
    answer: *mut *mut ffi::sqlite3_vtab,
    _message: *mut *mut c_char,
) -> c_int {
    // SAFETY: SQLite hands in the module's context and `count` strings: module, database, table, arguments.
    unsafe {
        let context = &*context.cast::<Context>();
        if count < 4 {
            return ffi::SQLITE_ERROR;
        }
        let text = |at: usize| CStr::from_ptr(*arguments.add(at)).to_str().unwrap_or_default();
        let (name, namespace) = (text(2), text(3));
        let is_meant = |table: &VirtualTable| table.name == name && table.namespace == namespace;
        let mut tables = context.extension.tables.iter().enumerate();
        let Some((place, table)) = tables.find(|(_, table)| is_meant(table)) else {
            return ffi::SQLITE_ERROR;
        };
        let code = ffi::sqlite3_declare_vtab(db, c_string(&declaration(table)).as_ptr());
        if code != ffi::SQLITE_OK {
            return code;
        }
        // Harmless in any statement, and read in the snapshot of the database that it tells about.
        ffi::sqlite3_vtab_config(db, ffi::SQLITE_VTAB_INNOCUOUS);
        ffi::sqlite3_vtab_config(db, ffi::SQLITE_VTAB_USES_ALL_SCHEMAS);
        let table = Box::new(Table {
            base: ffi::sqlite3_vtab {
                pModule: ptr::null(),
                nRef: 0,
                zErrMsg: ptr::null_mut(),
            },
            table,
            place,
            attached: context.attached.clone(),
        });
        *answer = Box::into_raw(table).cast();
        ffi::SQLITE_OK
    }
}

fn declaration(table: &VirtualTable) -> String {
    let mut text = "CREATE TABLE t(".to_owned();
    for (column, number) in table.columns.iter().zip(0..) {
        let comma = if number > 0 { ", " } else { "" };
        let hidden = if column.is_hidden { " HIDDEN" } else { "" };
        let _ = write!(
            text,
            "{comma}{} {}{hidden}",
            quoted_name(column.name),
            column.declared_type
        );
    }
    text + ")"
}

unsafe extern "C" fn disconnect(table: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: made by `connect`, dropped once.
    drop(unsafe { Box::from_raw(table.cast::<Table>()) });
    ffi::SQLITE_OK
}

/// The first of the constraints `indexed column = value` in the order of columns; `idxNum` is the column's place and 1.
unsafe extern "C" fn best_index(table: *mut ffi::sqlite3_vtab, info: *mut ffi::sqlite3_index_info) -> c_int {
    // SAFETY: SQLite hands in a table of ours, and arrays as long as it says.
    unsafe {
        let table = (*table.cast::<Table>()).table;
        let is_of_session = matches!(table.rows, Rows::Session(_));
        let mut best: Option<(usize, usize)> = None;
        for at in 0..usize::try_from((*info).nConstraint).unwrap_or(0) {
            let constraint = *(*info).aConstraint.add(at);
            let Ok(column) = usize::try_from(constraint.iColumn) else {
                continue;
            };
            let number = c_int::try_from(at).unwrap_or(c_int::MAX);
            let is_usable = constraint.usable != 0
                && c_int::from(constraint.op) == ffi::SQLITE_INDEX_CONSTRAINT_EQ
                && table.columns.get(column).is_some_and(|column| column.is_indexed)
                && CStr::from_ptr(ffi::sqlite3_vtab_collation(info, number)) == c"BINARY";
            if is_usable && !is_of_session && best.is_none_or(|(_, first)| column < first) {
                best = Some((at, column));
            }
        }
        let rows = match best {
            Some((at, column)) => {
                (*(*info).aConstraintUsage.add(at)).argvIndex = 1;
                (*info).idxNum = c_int::try_from(column + 1).unwrap_or(0);
                KEY_ROWS
            }
            None if is_of_session => SESSION_ROWS,
            None => ALL_ROWS,
        };
        (*info).estimatedRows = rows;
        (*info).estimatedCost = rows as f64;
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn open(
    table: *mut ffi::sqlite3_vtab,
    answer: *mut *mut ffi::sqlite3_vtab_cursor,
) -> c_int {
    // SAFETY: SQLite hands in a table of ours and a place for the answer.
    unsafe {
        let cursor = Box::new(Cursor {
            base: ffi::sqlite3_vtab_cursor {
                pVtab: ptr::null_mut(),
            },
            table: (*table.cast::<Table>()).table,
            seen: None,
            at: 0,
        });
        *answer = Box::into_raw(cursor).cast();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`, dropped once.
    drop(unsafe { Box::from_raw(cursor.cast::<Cursor>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn filter(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    number: c_int,
    _text: *const c_char,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) -> c_int {
    // SAFETY: SQLite hands in a cursor of ours, and as many values as `best_index` asked for.
    unsafe {
        let table = (*cursor).pVtab.cast::<Table>();
        let cursor = &mut *cursor.cast::<Cursor>();
        let column = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        let value = (count > 0).then(|| read(*values));
        let found = catch_unwind(AssertUnwindSafe(|| {
            let Some(attached) = &(*table).attached else {
                return Ok(None);
            };
            let (kept, facts) = (attached.kept()?, attached.facts());
            let place = (*table).place;
            let rows = column
                .zip(value)
                .and_then(|(column, value)| kept.find(place, column, value, &facts))
                .unwrap_or_else(|| kept.rows(place, &facts));
            #[cfg(test)]
            attached
                .rows_visited
                .fetch_add(rows.len(), std::sync::atomic::Ordering::Relaxed);
            Ok(Some(Seen { kept, facts, rows }))
        }));
        match found {
            Ok(Ok(seen)) => {
                cursor.seen = seen;
                cursor.at = 0;
                ffi::SQLITE_OK
            }
            Ok(Err(error)) => fail(table, &error),
            Err(_) => ffi::SQLITE_INTERNAL,
        }
    }
}

/// # Safety
/// A table of ours, in a callback.
unsafe fn fail(table: *mut Table, error: &SqliteError) -> c_int {
    // SAFETY: per contract; SQLite frees the message.
    unsafe {
        ffi::sqlite3_free((*table).base.zErrMsg.cast());
        (*table).base.zErrMsg = ffi::sqlite3_mprintf(c"%s".as_ptr(), c_string(&error.message).as_ptr());
    }
    error.code
}

unsafe extern "C" fn next(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: a cursor of ours.
    unsafe { (*cursor.cast::<Cursor>()).at += 1 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn eof(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: a cursor of ours.
    let cursor = unsafe { &*cursor.cast::<Cursor>() };
    let rows = cursor.seen.as_ref().map_or(0, |seen| seen.rows.len());
    c_int::from(cursor.at >= rows)
}

unsafe extern "C" fn column(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    context: *mut ffi::sqlite3_context,
    column: c_int,
) -> c_int {
    // SAFETY: a cursor of ours.
    let cursor = unsafe { &*cursor.cast::<Cursor>() };
    let value = catch_unwind(AssertUnwindSafe(|| {
        let seen = cursor.seen.as_ref()?;
        let row = *seen.rows.get(cursor.at)?;
        let column = usize::try_from(column).ok()?;
        Some(cursor.table.value(column, row, &seen.kept.view(&seen.facts)))
    }));
    match value {
        Ok(value) => {
            // SAFETY: the context of this callback.
            unsafe { functions::set_result(context, &value.unwrap_or(Value::Null)) };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_INTERNAL,
    }
}

unsafe extern "C" fn rowid(cursor: *mut ffi::sqlite3_vtab_cursor, answer: *mut i64) -> c_int {
    // SAFETY: a cursor of ours, and a place for the answer.
    unsafe { *answer = (*cursor.cast::<Cursor>()).at as i64 };
    ffi::SQLITE_OK
}
