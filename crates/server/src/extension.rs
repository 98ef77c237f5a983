//! What SQL finds at every replica beyond what SQLite has.

use std::sync::LazyLock;

use bellwether_pg::catalog;
use bellwether_types::Extension;

/// PostgreSQL's catalog, and its functions.
pub(crate) static EXTENSION: LazyLock<Extension> = LazyLock::new(|| Extension {
    functions: vec![catalog::FUNCTIONS],
    tables: catalog::tables(),
});
