//! A namespace's tables as a database file in memory, made once: attaching it costs a connection no CREATE statement
//! for each table, and no memory but for the tables it uses.

use std::ffi::CString;

use bellwether_types::Extension;
use rusqlite::{Connection, ffi};

use super::{c_string, tables};

/// Where a database file says which version may write it (fileformat2.html §1.3.3), and one that no SQLite has: it
/// reads such a file and leaves it alone, so that BEGIN IMMEDIATE passes it by.
const WRITE_VERSION: usize = 18;
const NEWER_WRITE_VERSION: u8 = 3;

/// The content of an attached database.
#[derive(Debug)]
pub(super) struct Image {
    namespace: CString,
    bytes: Vec<u8>,
}

/// One for each namespace.
pub(super) fn build(extension: &'static Extension) -> rusqlite::Result<Vec<Image>> {
    let mut namespaces: Vec<&str> = extension.tables.iter().map(|table| table.namespace).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    namespaces
        .into_iter()
        .map(|namespace| Image::of(namespace, extension))
        .collect()
}

impl Image {
    fn of(namespace: &str, extension: &'static Extension) -> rusqlite::Result<Image> {
        let memory = Connection::open_in_memory()?;
        tables::register_shape(&memory, extension)?;
        memory.execute_batch("BEGIN")?;
        for table in extension
            .tables
            .iter()
            .filter(|table| table.namespace == namespace)
        {
            memory.execute_batch(&format!(
                "CREATE VIRTUAL TABLE \"{}\" USING {}({namespace})",
                table.name,
                tables::MODULE
            ))?;
        }
        memory.execute_batch("COMMIT")?;
        let mut length = 0;
        // SAFETY: an open connection; the answer is SQLite's memory of that length, freed below.
        let mut bytes = unsafe {
            let content = ffi::sqlite3_serialize(memory.handle(), c"main".as_ptr(), &mut length, 0);
            let bytes = match usize::try_from(length) {
                Ok(length) if !content.is_null() => std::slice::from_raw_parts(content, length).to_vec(),
                _ => Vec::new(),
            };
            ffi::sqlite3_free(content.cast());
            bytes
        };
        let Some(version) = bytes.get_mut(WRITE_VERSION) else {
            return Err(rusqlite::Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_NOMEM),
                None,
            ));
        };
        *version = NEWER_WRITE_VERSION;
        Ok(Image {
            namespace: c_string(namespace),
            bytes,
        })
    }

    /// Read-only. The bytes stay with the image, which outlives the connection.
    pub(super) fn attach(&self, connection: &Connection) -> rusqlite::Result<()> {
        let namespace = self.namespace.to_string_lossy();
        connection.execute_batch(&format!("ATTACH ':memory:' AS \"{namespace}\""))?;
        let length = self.bytes.len() as i64;
        // SAFETY: an open connection. Without RESIZEABLE and with READONLY, SQLite only reads the bytes.
        let code = unsafe {
            ffi::sqlite3_deserialize(
                connection.handle(),
                self.namespace.as_ptr(),
                self.bytes.as_ptr().cast_mut(),
                length,
                length,
                ffi::SQLITE_DESERIALIZE_READONLY,
            )
        };
        check(code)?;
        // Only now SQLite learns that it cannot write there: a BEGIN IMMEDIATE would try to.
        connection.query_row(
            &format!("SELECT count(*) FROM \"{namespace}\".sqlite_schema"),
            [],
            |_| Ok(()),
        )
    }
}

/// A result code of SQLite's.
pub(super) fn check(code: std::ffi::c_int) -> rusqlite::Result<()> {
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}
