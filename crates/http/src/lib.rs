//! Health, metrics and status as HTTP messages, no sockets.
