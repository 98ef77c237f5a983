//! Raft behind Bellwether's own types: time and randomness are arguments.
