//! Translated texts in real SQLite: what clients send, what the documentation says, and what comes out.

mod database;
mod documentation;
mod golden;
mod meaning;
mod wrong;
