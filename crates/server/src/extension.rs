//! What SQL finds at every replica beyond what SQLite has.

use std::sync::LazyLock;

use bellwether_pg::{catalog, functions};
use bellwether_types::Extension;

/// PostgreSQL's catalog, and its functions: those of the catalog, and those that translated texts call.
pub(crate) static EXTENSION: LazyLock<Extension> = LazyLock::new(|| Extension {
    functions: vec![catalog::FUNCTIONS, functions::FUNCTIONS],
    tables: catalog::tables(),
});
