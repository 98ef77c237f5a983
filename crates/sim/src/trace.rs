//! Everything that happened, as lines: hashed always, printed when asked for. Equal hashes are equal runs.

use std::fmt::{Arguments, Write};

use crate::clock::Time;
use crate::observation::hash;

/// The lines of one run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    line: String,
    prints: bool,
}

impl Trace {
    /// With or without printing.
    pub fn new(prints: bool) -> Trace {
        Trace {
            prints,
            ..Trace::default()
        }
    }

    /// One more line.
    pub fn note(&mut self, at: Time, what: Arguments<'_>) {
        self.line.clear();
        write!(self.line, "{at} {what}").expect("strings take everything");
        self.hash = self.hash.rotate_left(7) ^ hash(self.line.as_bytes());
        if self.prints {
            println!("{}", self.line);
        }
    }

    /// Of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
