//! SQLite: capture, apply, fingerprints, snapshots. The only room that names it.

pub mod files;
pub mod vfs;

#[cfg(test)]
mod testing;
