//! Translated texts in real SQLite: what clients send, what the table of the documentation says, and what comes out.

mod database;
mod explore;
mod golden;
