//! SQLite: capture, apply, fingerprints, snapshots. The only room that names it.

pub mod files;
