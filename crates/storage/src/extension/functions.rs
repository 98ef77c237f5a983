//! Functions of an extension, as SQLite calls them.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bellwether_types::{Call, ErrorKind, Extension, ScalarFunction, SqlError, Value, ValueRef};
use rusqlite::{Connection, ffi};

use super::image::check;
use super::{Attached, c_string};
use crate::authorizer;
use crate::capture::row::read;

type Callback = unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value);
type Destructor = unsafe extern "C" fn(*mut c_void);

/// What a function that is not pure is called with.
struct Context {
    function: &'static ScalarFunction,
    attached: Arc<Attached>,
}

/// Those that see nothing but their arguments.
pub(super) fn register_pure(connection: &Connection, extension: &Extension) -> rusqlite::Result<()> {
    for function in extension.functions() {
        if function.call.is_deterministic() {
            let context = (&raw const *function).cast_mut().cast();
            // SAFETY: the function is static.
            unsafe { create(connection, function, context, call_pure, None)? };
        }
    }
    Ok(())
}

/// The others.
///
/// # Safety
/// The connection is closed before the thread-bound use of `attached` ends: see [`Attached`].
pub(super) unsafe fn register(connection: &Connection, attached: &Arc<Attached>) -> rusqlite::Result<()> {
    for function in attached.shared.extension.functions() {
        if function.call.is_deterministic() {
            continue;
        }
        let context = Box::into_raw(Box::new(Context {
            function,
            attached: Arc::clone(attached),
        }));
        // SAFETY: a box of ours, which SQLite hands to `destroy` also when it refuses.
        unsafe { create(connection, function, context.cast(), call_seeing, Some(destroy))? };
    }
    Ok(())
}

/// Under each number of arguments, so that SQLite tells a wrong one; all share the context.
///
/// # Safety
/// `context` is what `callback` and `destructor` expect, and lives until the connection is closed or the latter runs.
unsafe fn create(
    connection: &Connection,
    function: &ScalarFunction,
    context: *mut c_void,
    callback: Callback,
    destructor: Option<Destructor>,
) -> rusqlite::Result<()> {
    let mut flags = ffi::SQLITE_UTF8 | ffi::SQLITE_INNOCUOUS;
    if function.call.is_deterministic() {
        flags |= ffi::SQLITE_DETERMINISTIC;
    }
    let name = c_string(function.name);
    let counts = match function.arguments.max {
        Some(max) => c_int::from(function.arguments.min)..=c_int::from(max),
        None => -1..=-1,
    };
    // The destructor goes with the last: until then a failure leaks the context, and the connection is given up.
    let last = *counts.end();
    for count in counts {
        // SAFETY: an open connection; the rest per contract.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                connection.handle(),
                name.as_ptr(),
                count,
                flags,
                context,
                Some(callback),
                None,
                None,
                destructor.filter(|_| count == last),
            )
        };
        check(code)?;
    }
    Ok(())
}

unsafe extern "C" fn destroy(context: *mut c_void) {
    // SAFETY: made by `register`, dropped once.
    drop(unsafe { Box::from_raw(context.cast::<Context>()) });
}

unsafe extern "C" fn call_pure(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: registered with a static function; SQLite hands in `count` values that live during the call.
    unsafe {
        let function = &*ffi::sqlite3_user_data(context).cast::<ScalarFunction>();
        answer(
            context,
            function,
            &arguments(count, values),
            |arguments| match function.call {
                Call::Pure(call) => call(arguments),
                Call::Session(_) | Call::Node(_) | Call::Schema(_) | Call::Size(_) | Call::Notify(_) => {
                    Err(SqlError::new(ErrorKind::Internal, "not pure"))
                }
            },
        );
    }
}

unsafe extern "C" fn call_seeing(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: registered with a `Context`; SQLite hands in `count` values that live during the call.
    unsafe {
        let seeing = &*ffi::sqlite3_user_data(context).cast::<Context>();
        let (function, attached) = (seeing.function, &seeing.attached);
        answer(
            context,
            function,
            &arguments(count, values),
            |arguments| match function.call {
                Call::Pure(call) => call(arguments),
                Call::Session(call) | Call::Node(call) => call(arguments, &attached.facts()),
                Call::Notify(call) => attached.notify(call(arguments, &attached.facts())?),
                Call::Schema(call) => {
                    let kept = attached.kept().map_err(|error| error.into_sql_error(""))?;
                    call(arguments, &kept.schema, &attached.facts())
                }
                Call::Size(call) => {
                    let kept = attached.kept().map_err(|error| error.into_sql_error(""))?;
                    match call(arguments, &kept.schema) {
                        Some(of) => attached.size(&of).map_err(|error| error.into_sql_error("")),
                        None => Ok(Value::Null),
                    }
                }
            },
        );
    }
}

/// # Safety
/// `values` points to `count` values that live for `'a`.
unsafe fn arguments<'a>(count: c_int, values: *mut *mut ffi::sqlite3_value) -> Vec<ValueRef<'a>> {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: per contract.
    (0..count).map(|at| unsafe { read(*values.add(at)) }).collect()
}

/// # Safety
/// Within a callback of SQLite's.
unsafe fn answer(
    context: *mut ffi::sqlite3_context,
    function: &ScalarFunction,
    arguments: &[ValueRef<'_>],
    call: impl FnOnce(&[ValueRef<'_>]) -> Result<Value, SqlError>,
) {
    let result = if function.arguments.takes(arguments.len()) {
        // A function's mistake costs the statement, not the node.
        catch_unwind(AssertUnwindSafe(|| call(arguments))).unwrap_or_else(|_| {
            let text = format!("function {} failed", function.name);
            Err(SqlError::new(ErrorKind::Internal, text))
        })
    } else {
        let text = format!("wrong number of arguments to function {}()", function.name);
        Err(SqlError::new(ErrorKind::UndefinedFunction, text))
    };
    // SAFETY: per contract.
    unsafe {
        match result {
            Ok(value) => set_result(context, &value),
            Err(error) => {
                let text = error.message.clone();
                authorizer::fail(error);
                let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
                ffi::sqlite3_result_error(context, text.as_ptr().cast(), length);
            }
        }
    }
}

/// # Safety
/// Within a callback of SQLite's.
pub(super) unsafe fn set_result(context: *mut ffi::sqlite3_context, value: &Value) {
    // SAFETY: per contract; SQLite copies the bytes.
    unsafe {
        match value {
            Value::Null => ffi::sqlite3_result_null(context),
            Value::Integer(value) => ffi::sqlite3_result_int64(context, *value),
            Value::Real(value) => ffi::sqlite3_result_double(context, *value),
            Value::Text(text) => ffi::sqlite3_result_text64(
                context,
                text.as_ptr().cast(),
                text.len() as u64,
                ffi::SQLITE_TRANSIENT(),
                ffi::SQLITE_UTF8 as u8,
            ),
            Value::Blob(bytes) => ffi::sqlite3_result_blob64(
                context,
                bytes.as_ptr().cast(),
                bytes.len() as u64,
                ffi::SQLITE_TRANSIENT(),
            ),
        }
    }
}
