//! SQLite: capture, apply, fingerprints, snapshots. The only room that names it.

pub mod checkpoint;
pub mod files;
mod os_disk;
mod position;
pub mod recovery;
pub mod snapshot;
pub mod vfs;
pub mod wal;

#[cfg(test)]
mod testing;
