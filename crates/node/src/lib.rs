//! One replica of one database as a pure machine: events in, effects out.
