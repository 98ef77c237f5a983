//! SQLite: capture, apply, fingerprints, snapshots. The only room that names it.

pub mod files;
pub mod vfs;
pub mod wal;

#[cfg(test)]
mod testing;
