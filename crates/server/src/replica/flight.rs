//! The way of a group between its execution and its fate: sealed, proposed, held, and committed or given up.

use std::time::Instant;

use bellwether_node::Event;
use bellwether_storage::{Sealed, StorageError, Writer};
use bellwether_types::{Durability, Payload, Position, SqlError};

use super::desk::{Command, Refusal, no_space};
use super::driver::Input;
use super::writer::{Halt, WriterThread};

/// What became of a group in flight.
pub(super) enum Flight {
    Committed {
        position: Position,
        /// Whether a record of its own stands there.
        is_written: bool,
    },
    /// Rolled back here; another leader may commit it all the same.
    Lost,
}

/// What the clients of a group wait for besides its COMMIT.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// Some for less: they are answered when it is proposed.
    early: bool,
    /// Some for what others tell of at once only when they are asked.
    asks_progress: bool,
}

impl WriterThread {
    /// By their durabilities.
    pub(super) fn waits_of(&self, durabilities: impl IntoIterator<Item = Durability>) -> Waits {
        let none = Waits {
            early: false,
            asks_progress: false,
        };
        durabilities.into_iter().fold(none, |waits, durability| Waits {
            early: waits.early || durability.is_early(),
            asks_progress: waits.asks_progress || self.acknowledger.asks_progress(durability),
        })
    }

    /// Seals the open group, proposes it and waits for its fate. An inner error: it could not be sealed, or the log
    /// has no room for it; it is not and will not be there.
    /// `early`: its record is in the log here, at this position.
    pub(super) fn seal_and_fly(
        &mut self,
        waits: Waits,
        early: impl FnMut(Position),
    ) -> Result<Result<Flight, SqlError>, Halt> {
        let Some(next) = self.next else {
            self.writer().rollback()?;
            return Ok(Ok(Flight::Lost));
        };
        self.forget_sessions()?;
        match self.writer().seal(next) {
            Ok(Sealed::Empty) => self.confirm().map(Ok),
            Ok(Sealed::Payloads(count)) => self.fly(next, count, waits, early),
            Err(error) if !self.survives(&error) => Err(error.into()),
            Err(error) => {
                self.writer().rollback()?;
                Ok(Err(error.into_sql_error()))
            }
        }
    }

    fn fly(
        &mut self,
        first: Position,
        count: u64,
        waits: Waits,
        mut early: impl FnMut(Position),
    ) -> Result<Result<Flight, SqlError>, Halt> {
        let began = Instant::now();
        let mut at = first;
        let mut remaining = count;
        self.propose_next(&mut at, &mut remaining, waits)?;
        loop {
            match self.desk.next_command() {
                Command::NextPayload => self.propose_next(&mut at, &mut remaining, waits)?,
                Command::Proposed => early(at),
                Command::Commit { position, next } => {
                    self.published.set_visible(position);
                    if let Err(error) = self.writer().commit() {
                        return self.fail_commit(error).map(Ok);
                    }
                    self.publish();
                    self.tell_listeners();
                    self.committed = Some(position.index);
                    self.next = Some(next);
                    self.metrics
                        .commit_wait_us
                        .observe(began.elapsed().as_micros() as u64);
                    return Ok(Ok(Flight::Committed {
                        position,
                        is_written: true,
                    }));
                }
                Command::Follow => {
                    self.next = None;
                    self.writer().rollback()?;
                    return Ok(Ok(Flight::Lost));
                }
                Command::Refuse => {
                    self.next = None;
                    self.writer().rollback()?;
                    return Ok(Err(no_space()));
                }
                Command::Stop => {
                    self.writer().rollback()?;
                    return Err(Halt::Stopped);
                }
                // Of a group before, whose reign ended.
                Command::Confirmed { .. } => {}
                other @ (Command::Apply { .. } | Command::Lead { .. } | Command::InstallSnapshot { .. }) => {
                    unreachable!("the machine says Follow before {other:?}")
                }
            }
        }
    }

    /// `at`: where the payload before stands; then where this one does.
    fn propose_next(&mut self, at: &mut Position, remaining: &mut u64, waits: Waits) -> Result<(), Halt> {
        let payload = self
            .writer()
            .next_payload()?
            .expect("seal told how many payloads there are");
        *remaining -= 1;
        self.metrics.log_appended_bytes.add(payload.len() as u64);
        self.tell(Event::Propose {
            at: *at,
            payload,
            remaining: *remaining,
            asks_progress: waits.asks_progress,
        });
        if *remaining > 0 {
            at.index = at.index.next();
        } else if waits.early {
            // A driver that is gone has left a `Stop`.
            let _ = self.drive.send(Input::Proposed(*at));
        }
        Ok(())
    }

    /// A group that wrote nothing has no record, yet what it answers (failures, zero rows) tells of the committed
    /// state: only a leader that is still one may tell it.
    fn confirm(&mut self) -> Result<Flight, Halt> {
        // A driver that is gone has left a `Stop`.
        self.confirms += 1;
        let asked = self.confirms;
        let _ = self.drive.send(Input::Confirm(asked));
        loop {
            match self.desk.next_command() {
                // Asked before a reign that has ended.
                Command::Confirmed { number, .. } if number != asked => {}
                Command::Confirmed { leads: true, .. } => {
                    return Ok(Flight::Committed {
                        position: self.writer().position(),
                        is_written: false,
                    });
                }
                Command::Confirmed { leads: false, .. } => return Ok(Flight::Lost),
                Command::Follow => {
                    self.next = None;
                    return Ok(Flight::Lost);
                }
                Command::Stop => return Err(Halt::Stopped),
                Command::Proposed => {}
                other => unreachable!("the machine says Follow before {other:?}"),
            }
        }
    }

    /// A record of its own: committed first, then done here as by every replica.
    pub(super) fn pass(
        &mut self,
        position: Position,
        payload: &Payload,
        act: impl FnOnce(&mut Writer) -> Result<(), StorageError>,
    ) -> Result<Result<(), Refusal>, Halt> {
        self.tell(Event::Propose {
            at: position,
            payload: payload.to_bytes(),
            remaining: 0,
            asks_progress: false,
        });
        loop {
            match self.desk.next_command() {
                Command::Commit { position, next } => {
                    self.published.set_visible(position);
                    if let Err(error) = act(self.writer()) {
                        self.fail_commit(error)?;
                        return Ok(Err(Refusal::Unknown));
                    }
                    self.publish();
                    self.committed = Some(position.index);
                    self.next = Some(next);
                    self.connection_opened();
                    return Ok(Ok(()));
                }
                Command::Follow => {
                    self.next = None;
                    return Ok(Err(Refusal::Unknown));
                }
                Command::Refuse => {
                    self.next = None;
                    return Ok(Err(Refusal::Failed(no_space())));
                }
                Command::Stop => return Err(Halt::Stopped),
                Command::Confirmed { .. } | Command::Proposed => {}
                other => unreachable!("the machine says Follow before {other:?}"),
            }
        }
    }
}
