//! One history that all clients and the nemesis write to, in the order in which things happen.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::history::{Event, FaultEvent, Header, Kind, Nemesis, Operation, file};

/// Numbers events and writes them down. The clock is this process's, read while nobody else writes: events are in the
/// order of their times too.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: file::Writer,
    next_index: u64,
    next_process: u64,
}

/// Who does an operation, where, and what its reads promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// The client's present process.
    pub process: u64,
    /// The node that it is connected to.
    pub node: u64,
    /// Whether its reads are `strong`.
    pub strong: bool,
}

impl Recorder {
    /// A new file.
    pub fn create(path: &Path, header: &Header) -> io::Result<Recorder> {
        Ok(Recorder {
            begun: Instant::now(),
            state: Mutex::new(State {
                file: file::Writer::create(path, header)?,
                next_index: 0,
                next_process: 0,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while writing")
    }

    /// A number that no other process has.
    pub fn new_process(&self) -> u64 {
        let mut state = self.state();
        state.next_process += 1;
        state.next_process - 1
    }

    /// A client's line.
    pub fn client(
        &self,
        who: Who,
        kind: Kind,
        operation: Operation,
        error: Option<String>,
    ) -> io::Result<()> {
        let mut state = self.state();
        let event = Event {
            index: state.take_index(),
            kind,
            process: who.process,
            node: who.node,
            strong: who.strong || kind != Kind::Invoke,
            operation,
            time: self.now_ns(),
            error,
        };
        state.file.write(&event)
    }

    /// The nemesis's line.
    pub fn fault(&self, name: &str, what: String) -> io::Result<()> {
        let mut state = self.state();
        let event = FaultEvent {
            index: state.take_index(),
            kind: Kind::Info,
            process: Nemesis::Nemesis,
            f: name.to_owned(),
            value: what,
            time: self.now_ns(),
        };
        state.file.write(&event)
    }

    fn now_ns(&self) -> u64 {
        // 584 years fit.
        self.begun.elapsed().as_nanos() as u64
    }
}

impl State {
    fn take_index(&mut self) -> u64 {
        self.next_index += 1;
        self.next_index - 1
    }
}
