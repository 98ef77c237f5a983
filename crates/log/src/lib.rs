//! The replication log on disk: segments, checksums, group fsync, truncation, retention.
