//! Where a replica's SQLite file lives, and how a connection to it is opened.
//!
//! Promises: every connection of a replica goes through [`Files::connect`], so all of them agree on journal mode,
//! page size, checkpoint rules and busy handling; the running SQLite has the features that this room needs.
//! Does not create tables, does not look at the content, does not retry.

use std::ffi::{CStr, c_int};
use std::fmt;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

use bellwether_types::disk::Disk;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::environment;
use crate::extension::Extended;
use crate::os_disk::OsDisk;
use crate::pages::{CHECKSUM_BYTES, Damage, PAGE_BYTES};
use crate::vfs::workspace::{Expected, PageSource};
use crate::vfs::{self, checked};

/// Where a replica's SQLite file lives.
#[derive(Debug, Clone)]
pub struct Files {
    /// The main file; SQLite puts `-wal` and `-shm` beside it. Absolute.
    pub path: PathBuf,
    /// Through which virtual file system.
    pub vfs: Vfs,
    /// Where captured changes go that are too large for memory.
    pub spill: Spill,
    /// Functions and virtual tables that its connections have beyond SQLite's.
    pub extended: Extended,
    /// Where its connections leave word of a page that is not what was written.
    pub damage: Damage,
}

/// The virtual file system that SQLite uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vfs {
    /// The operating system's.
    Os,
    /// One that `vfs::register` registered under this name.
    Simulated(String),
}

/// Where captured changes beyond the memory bound go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spill {
    /// Nowhere: they stay in memory (simulator, tests).
    Memory,
    /// Into unnamed files in this directory.
    Directory(PathBuf),
}

/// What a connection is for; decides its pragmas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRole {
    /// The one that writes; creates the file when there is none. Starts with `SQLITE_DBCONFIG_DEFENSIVE` on: who
    /// applies rows of shadow tables turns it off while doing so.
    Writer,
    /// `query_only`, defensive.
    Reader,
    /// Moves WAL frames into the main file, or holds a read snapshot so that others do not.
    Checkpointer,
    /// Writes what nobody else sees, in memory: see `workspace`.
    Workspace,
}

/// Page cache of the writer. It holds a whole group's dirty pages; beyond it SQLite spills them into the WAL.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// Page cache of each reader; there are many, and the kernel caches the file as well.
const READER_CACHE_KIB: i64 = 8 * 1024;
/// Page cache of a workspace, and so the most that a transaction changes in one.
const WORKSPACE_CACHE_KIB: i64 = 1024;
/// A checkpointer copies pages without caching them.
const CHECKPOINTER_CACHE_KIB: i64 = 256;

/// A restarted WAL is cut back to this length, so that one huge transaction does not keep its disk space.
const RESTARTED_WAL_BYTES_MAX: i64 = 16 * 1024 * 1024;

/// What the database itself is called in statements, as in PostgreSQL. SQLite goes on taking `main` for it.
pub(crate) const MAIN_NAMESPACE: &str = "public";
const MAIN_NAMESPACE_C: &CStr = c"public";

/// Compile-time options that this room stands on, with SQLite's name for them.
const REQUIRED_OPTIONS: [&CStr; 4] = [
    c"ENABLE_PREUPDATE_HOOK",
    c"ENABLE_DBPAGE_VTAB",
    c"ENABLE_SNAPSHOT",
    c"ENABLE_MATH_FUNCTIONS",
];

impl Files {
    /// Without extensions; what is captured stays in memory.
    pub fn new(path: impl Into<PathBuf>, vfs: Vfs) -> Files {
        Files {
            path: path.into(),
            vfs,
            spill: Spill::Memory,
            extended: Extended::default(),
            damage: Damage::default(),
        }
    }

    /// Opens a connection: through the VFS, WAL mode, `synchronous=OFF`, no automatic checkpoint (neither by
    /// size nor at close), no busy handler, foreign keys as SQLite was compiled.
    pub fn connect(&self, role: ConnectionRole) -> Result<Connection, OpenError> {
        check_compile_options()?;
        let connection = self
            .open(role)
            .map_err(|error| OpenError::sqlite(&self.path, &error))?;
        checked::watch(&connection, &self.damage);
        let mode = configure(&connection, role)
            .and_then(|mode| self.register(&connection).map(|()| mode))
            .map_err(|error| match has_checksums(&connection) {
                true => OpenError::sqlite(&self.path, &error),
                false => {
                    // Not a fault: what is there was never compared with anything.
                    self.damage.take();
                    OpenError::WithoutChecksums {
                        path: self.path.clone(),
                    }
                }
            })?;
        if mode != "wal" {
            return Err(OpenError::NotWal {
                path: self.path.clone(),
                mode,
            });
        }
        Ok(connection)
    }

    /// Opens a connection to a file that is none: it shows these pages. `number` makes its name.
    pub(crate) fn connect_workspace(
        &self,
        number: u64,
        source: Arc<dyn PageSource>,
    ) -> Result<Connection, OpenError> {
        let path = beside(&self.path, &format!("-workspace-{number}"));
        let _expected = Expected::new(path.as_os_str().as_bytes().to_owned(), source);
        let open = || -> rusqlite::Result<(Connection, String)> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags_and_vfs(&path, flags, self.vfs_name()?)?;
            let mode = configure(&connection, ConnectionRole::Workspace)?;
            self.register(&connection)?;
            Ok((connection, mode))
        };
        match open().map_err(|error| OpenError::sqlite(&path, &error))? {
            (connection, mode) if mode == "memory" => Ok(connection),
            (_, mode) => Err(OpenError::NotWal { path, mode }),
        }
    }

    /// The functions that expressions of the schema may call.
    fn register(&self, connection: &Connection) -> rusqlite::Result<()> {
        environment::register(connection)?;
        self.extended.register_pure(connection)
    }

    fn vfs_name(&self) -> rusqlite::Result<&str> {
        match &self.vfs {
            Vfs::Os => {
                checked::os_name().map_err(|code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
            }
            Vfs::Simulated(name) => Ok(name.as_str()),
        }
    }

    /// SQLite's write-ahead log of this file.
    pub fn wal_path(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }

    /// SQLite's index of the write-ahead log; rebuilt from it when missing.
    pub fn shm_path(&self) -> PathBuf {
        beside(&self.path, "-shm")
    }

    /// The disk below SQLite. Only for files that no connection has open, but for a Simulated one.
    pub(crate) fn disk(&self) -> Result<Arc<dyn Disk>, OpenError> {
        match &self.vfs {
            Vfs::Os => Ok(Arc::new(OsDisk)),
            Vfs::Simulated(name) => {
                vfs::disk(name).ok_or_else(|| OpenError::VfsUnknown { name: name.clone() })
            }
        }
    }

    fn open(&self, role: ConnectionRole) -> rusqlite::Result<Connection> {
        // Each connection stays with one thread at a time, so SQLite need not lock it. Readers write too: the
        // WAL's index.
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if role == ConnectionRole::Writer {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        Connection::open_with_flags_and_vfs(&self.path, flags, self.vfs_name()?)
    }
}

/// `path` with `suffix` appended to its last component.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Sets everything that a role needs; answers the journal mode that SQLite chose.
fn configure(connection: &Connection, role: ConnectionRole) -> rusqlite::Result<String> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // SAFETY: an open connection; SQLite keeps the pointer, which is to a static.
    unsafe {
        ffi::sqlite3_db_config(
            connection.handle(),
            ffi::SQLITE_DBCONFIG_MAINDBNAME,
            MAIN_NAMESPACE_C.as_ptr(),
        );
    }
    let cache_kib = match role {
        ConnectionRole::Writer => WRITER_CACHE_KIB,
        ConnectionRole::Reader => READER_CACHE_KIB,
        ConnectionRole::Checkpointer => CHECKPOINTER_CACHE_KIB,
        ConnectionRole::Workspace => WORKSPACE_CACHE_KIB,
    };
    if role == ConnectionRole::Writer {
        connection.pragma_update(None, "page_size", PAGE_BYTES as u32)?;
        reserve_checksums(connection);
    }
    let mode = match role {
        ConnectionRole::Writer => connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?,
        ConnectionRole::Workspace => {
            connection.query_row("PRAGMA journal_mode=MEMORY", [], |row| row.get(0))?
        }
        _ => connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?,
    };
    // Durable is the log, and what checkpoints make so.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", RESTARTED_WAL_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    // What a large sort, or a statement that changes many pages and may be taken back, needs beyond the cache.
    let temporary = match role {
        ConnectionRole::Writer | ConnectionRole::Reader => "FILE",
        ConnectionRole::Checkpointer | ConnectionRole::Workspace => "MEMORY",
    };
    connection.pragma_update(None, "temp_store", temporary)?;
    if role != ConnectionRole::Checkpointer {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    }
    if role == ConnectionRole::Reader {
        connection.pragma_update(None, "query_only", true)?;
    }
    Ok(mode)
}

/// A file that is created now keeps room for a checksum at the end of each page, and VACUUM keeps it.
fn reserve_checksums(connection: &Connection) {
    let mut bytes = CHECKSUM_BYTES as c_int;
    // SAFETY: an open connection; the verb takes an int and puts the number before in its place.
    unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_RESERVE_BYTES,
            (&raw mut bytes).cast(),
        );
    }
}

/// Whether the main file has room for our checksums at the end of its pages (byte 20 of its header); also when there
/// is nothing to be read. The one bit that makes 8 of 0 cannot be told from a file of somebody else's.
fn has_checksums(connection: &Connection) -> bool {
    let mut reserved = [0];
    match SqliteFile::of(connection, ffi::SQLITE_FCNTL_FILE_POINTER) {
        Some(file) => file.read(20, &mut reserved) != ffi::SQLITE_OK || reserved != [0],
        None => true,
    }
}

/// A file as SQLite's own handle shows it. Opening one beside SQLite's would give up its locks on closing (POSIX).
pub(crate) struct SqliteFile<'a> {
    file: *mut ffi::sqlite3_file,
    _of: PhantomData<&'a Connection>,
}

impl<'a> SqliteFile<'a> {
    /// The main file (`SQLITE_FCNTL_FILE_POINTER`) or the WAL (`SQLITE_FCNTL_JOURNAL_POINTER`), if it is open.
    pub(crate) fn of(connection: &'a Connection, which: c_int) -> Option<SqliteFile<'a>> {
        let mut file: *mut ffi::sqlite3_file = null_mut();
        // SAFETY: an open connection; the verb stores a handle that lives as long as it is.
        let is_open = unsafe {
            let out = (&raw mut file).cast();
            let found = ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), which, out);
            found == ffi::SQLITE_OK && file.as_ref().is_some_and(|file| !file.pMethods.is_null())
        };
        is_open.then_some(SqliteFile {
            file,
            _of: PhantomData,
        })
    }

    /// Fills the buffer, beyond the end with zeros. Answers SQLite's result code.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> c_int {
        // SAFETY: an open handle, with methods; a buffer of that length.
        unsafe {
            match (*(*self.file).pMethods).xRead {
                Some(read) => read(
                    self.file,
                    buffer.as_mut_ptr().cast(),
                    buffer.len() as c_int,
                    offset.cast_signed(),
                ),
                None => ffi::SQLITE_MISUSE,
            }
        }
    }

    /// Answers SQLite's result code.
    pub(crate) fn sync(&self) -> c_int {
        // SAFETY: an open handle, with methods.
        unsafe {
            match (*(*self.file).pMethods).xSync {
                Some(sync) => sync(self.file, ffi::SQLITE_SYNC_NORMAL),
                None => ffi::SQLITE_MISUSE,
            }
        }
    }
}

fn check_compile_options() -> Result<(), OpenError> {
    for option in REQUIRED_OPTIONS {
        // SAFETY: a static, NUL-terminated name; SQLite only reads it.
        if unsafe { ffi::sqlite3_compileoption_used(option.as_ptr()) } == 0 {
            return Err(OpenError::MissingCompileOption { option });
        }
    }
    Ok(())
}

/// Why a replica's file cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The SQLite that was linked lacks a feature: the build did not see `.cargo/config.toml`.
    MissingCompileOption {
        /// SQLite's name for it.
        option: &'static CStr,
    },
    /// SQLite refused.
    Sqlite {
        /// The main file.
        path: PathBuf,
        /// Extended result code; 0 when the error did not come from SQLite itself.
        code: i32,
        /// SQLite's words.
        message: String,
    },
    /// No virtual file system of this name is registered.
    VfsUnknown {
        /// The name.
        name: String,
    },
    /// The file is not in WAL mode: it is not a replica's, or somebody else changed it.
    NotWal {
        /// The main file.
        path: PathBuf,
        /// The mode it is in.
        mode: String,
    },
    /// Its pages have no checksums: it was made by an earlier version, or by somebody else.
    WithoutChecksums {
        /// The main file.
        path: PathBuf,
    },
    /// It is a SQLite file in WAL mode, but not one of ours.
    NotAReplica {
        /// The main file.
        path: PathBuf,
        /// What is missing or malformed.
        what: String,
    },
}

impl OpenError {
    /// Whether the file is damaged: it must be seeded anew.
    pub fn is_damage(&self) -> bool {
        match self {
            OpenError::Sqlite { code, .. } => is_damage_code(*code),
            OpenError::NotWal { .. } | OpenError::NotAReplica { .. } => true,
            OpenError::MissingCompileOption { .. }
            | OpenError::VfsUnknown { .. }
            | OpenError::WithoutChecksums { .. } => false,
        }
    }

    /// The facts of an error of the bindings.
    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> OpenError {
        let (code, message) = sqlite_facts(error);
        OpenError::Sqlite {
            path: path.to_owned(),
            code,
            message,
        }
    }
}

/// Whether a result code says that the file is not what was written.
pub(crate) fn is_damage_code(code: i32) -> bool {
    code == ffi::SQLITE_IOERR_DATA || matches!(code & 0xFF, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB)
}

/// SQLite's words for the code that it just answered, or ours when they say more.
pub(crate) fn telling(code: i32, message: String) -> String {
    match checked::take_fault().filter(|_| code == ffi::SQLITE_IOERR_DATA) {
        Some(fault) => fault.to_string(),
        None => message,
    }
}

/// Extended result code (0 when the error is of the bindings' own making) and message.
pub(crate) fn sqlite_facts(error: &rusqlite::Error) -> (i32, String) {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let code = failure.extended_code;
            let message = message.clone().unwrap_or_else(|| failure.to_string());
            (code, telling(code, message))
        }
        other => (0, other.to_string()),
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::MissingCompileOption { option } => write!(
                f,
                "the linked SQLite was built without {}: build inside the source tree, so that cargo reads \
                 .cargo/config.toml, which sets LIBSQLITE3_FLAGS",
                option.to_string_lossy()
            ),
            OpenError::Sqlite { path, code, message } => {
                write!(
                    f,
                    "cannot open {}: {message} (SQLite code {code})",
                    path.display()
                )
            }
            OpenError::VfsUnknown { name } => write!(f, "no virtual file system {name:?} is registered"),
            OpenError::NotWal { path, mode } => {
                write!(
                    f,
                    "{} is in journal mode {mode:?}, expected \"wal\"",
                    path.display()
                )
            }
            OpenError::WithoutChecksums { path } => write!(
                f,
                "{}: its pages have no checksums, so it was not made by this version: move the node's data \
                 directory away, and the node is seeded from the others",
                path.display()
            ),
            OpenError::NotAReplica { path, what } => {
                write!(f, "{} is not a replica's file: {what}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &tempfile::TempDir) -> Files {
        Files::new(directory.path().join("replica.db"), Vfs::Os)
    }

    fn pragma(connection: &Connection, name: &str) -> String {
        connection
            .pragma_query_value(None, name, |row| {
                row.get::<_, rusqlite::types::Value>(0).map(|value| match value {
                    rusqlite::types::Value::Text(text) => text,
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    other => format!("{other:?}"),
                })
            })
            .expect("a readable pragma")
    }

    #[test]
    fn a_writer_creates_a_file_in_wal_mode_with_our_settings() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let writer = files(&directory)
            .connect(ConnectionRole::Writer)
            .expect("a new file");
        writer.execute_batch("CREATE TABLE t(x)").expect("a table");
        for (name, value) in [
            ("journal_mode", "wal"),
            ("synchronous", "0"),
            ("wal_autocheckpoint", "0"),
            ("busy_timeout", "0"),
            ("page_size", "4096"),
            ("temp_store", "1"),
            ("trusted_schema", "0"),
            ("foreign_keys", "1"),
        ] {
            assert_eq!(pragma(&writer, name), value, "{name}");
        }
    }

    #[test]
    fn a_reader_cannot_write_and_cannot_create() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = files(&directory);
        assert!(matches!(
            files.connect(ConnectionRole::Reader),
            Err(OpenError::Sqlite { code: 14, .. })
        ));
        let writer = files.connect(ConnectionRole::Writer).expect("a new file");
        writer.execute_batch("CREATE TABLE t(x)").expect("a table");
        let reader = files.connect(ConnectionRole::Reader).expect("an existing file");
        assert!(reader.execute("INSERT INTO t VALUES (1)", []).is_err());
        assert!(
            reader
                .execute_batch("PRAGMA writable_schema=1; DELETE FROM sqlite_schema")
                .is_err()
        );
    }

    #[test]
    fn the_last_connection_leaves_the_wal_behind() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = files(&directory);
        let writer = files.connect(ConnectionRole::Writer).expect("a new file");
        writer.execute_batch("CREATE TABLE t(x)").expect("a table");
        drop(writer);
        assert!(std::fs::metadata(files.wal_path()).expect("a WAL").len() > 0);
    }

    #[test]
    fn a_file_that_is_not_in_wal_mode_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = files(&directory);
        let writer = files.connect(ConnectionRole::Writer).expect("a new file");
        writer
            .execute_batch("PRAGMA journal_mode=DELETE; CREATE TABLE t(x)")
            .expect("a table");
        assert!(matches!(
            files.connect(ConnectionRole::Reader),
            Err(OpenError::NotWal { .. })
        ));
    }

    #[test]
    fn a_file_without_page_checksums_is_refused_in_words_of_its_own() {
        for page_bytes in [1024, 4096, 16_384] {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let files = files(&directory);
            let plain = Connection::open(&files.path).expect("a new file");
            let sql = format!("PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
            plain.execute_batch(&sql).expect("a table");
            drop(plain);
            for role in [ConnectionRole::Writer, ConnectionRole::Reader] {
                let error = files.connect(role).expect_err("refused");
                assert!(matches!(error, OpenError::WithoutChecksums { .. }), "{error}");
                assert!(!error.is_damage() && files.damage.take().is_none());
            }
        }
    }

    #[test]
    fn a_missing_compile_option_names_itself_and_the_place_to_look() {
        let text = OpenError::MissingCompileOption {
            option: c"ENABLE_SNAPSHOT",
        }
        .to_string();
        assert!(
            text.contains("ENABLE_SNAPSHOT") && text.contains(".cargo/config.toml"),
            "{text}"
        );
    }
}
