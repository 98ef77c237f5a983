//! PostgreSQL's wire protocol: bytes to enums and back, no sockets.
