//! Asserts the contract between machine and driver from the machine's side: effects come as the numbered duties say.

use bellwether_node::{Effect, Persist};
use bellwether_types::{LogIndex, Position};

/// What was given out and is not done.
#[derive(Debug, Default)]
pub(super) struct Duties {
    ticket: u64,
    applied: LogIndex,
    /// The last index of an `Apply` or `Commit` under way.
    applying: Option<LogIndex>,
    leading: bool,
    /// Payloads of the group in flight that were not asked for.
    remaining: u64,
    last_proposed: Option<Position>,
    checkpointed: LogIndex,
}

impl Duties {
    pub fn new(applied: LogIndex) -> Duties {
        Duties {
            applied,
            ..Duties::default()
        }
    }

    /// Checks an effect as it is given out.
    pub fn check(&mut self, effect: &Effect) -> Result<(), String> {
        match effect {
            Effect::Persist(persist) => self.check_persist(persist),
            Effect::Apply { entries } => {
                let first = entries.first().ok_or("duty 3: an empty Apply")?.position.index;
                let last = entries.last().ok_or("duty 3: an empty Apply")?.position.index;
                if self.applying.is_some() {
                    return Err("duty 3: two Applies are outstanding".to_owned());
                }
                if self.leading
                    || first != self.applied.next()
                    || last.0 - first.0 + 1 != entries.len() as u64
                {
                    return Err(format!(
                        "duty 3: Apply of {first} to {last} after {}",
                        self.applied
                    ));
                }
                self.applying = Some(last);
                Ok(())
            }
            Effect::Lead { .. } => {
                if self.leading || self.applying.is_some() {
                    return Err("duty 4: Lead while leading or applying".to_owned());
                }
                self.leading = true;
                self.last_proposed = None;
                Ok(())
            }
            Effect::NextPayload => match (self.leading, self.remaining) {
                (true, 1..) => Ok(()),
                _ => Err("duty 4: NextPayload without a group that has one".to_owned()),
            },
            Effect::Commit { position, .. } => {
                if !self.leading || self.remaining > 0 || self.last_proposed != Some(*position) {
                    return Err(format!(
                        "duty 4: Commit at {position}, proposed was {:?}",
                        self.last_proposed
                    ));
                }
                self.applying = Some(position.index);
                Ok(())
            }
            Effect::Follow => {
                if !self.leading {
                    return Err("duty 4: Follow without Lead".to_owned());
                }
                self.leading = false;
                Ok(())
            }
            Effect::Refuse => {
                if !self.leading || self.applying.is_some() {
                    return Err("duty 10: Refuse without a group that was just proposed".to_owned());
                }
                self.leading = false;
                Ok(())
            }
            Effect::CutLog { through } if *through > self.checkpointed => Err(format!(
                "duty 6: cut through {through}, checkpointed is {}",
                self.checkpointed
            )),
            _ => Ok(()),
        }
    }

    fn check_persist(&mut self, persist: &Persist) -> Result<(), String> {
        if persist.ticket <= self.ticket {
            return Err(format!("duty 1: ticket {} after {}", persist.ticket, self.ticket));
        }
        self.ticket = persist.ticket;
        Ok(())
    }

    /// The writer proposes.
    pub fn propose(&mut self, at: Position, remaining: u64) {
        self.last_proposed = Some(at);
        self.remaining = remaining;
    }

    pub fn applied(&mut self, through: LogIndex) {
        self.applied = self.applied.max(through);
        self.applying = None;
    }

    /// SQLite found no space. A leader does not go on with what it held: there is a `Lead` first.
    pub fn apply_failed(&mut self, applied: LogIndex) {
        self.applied = applied;
        self.applying = None;
        self.leading = false;
    }

    pub fn checkpointed(&mut self, through: LogIndex) {
        self.checkpointed = self.checkpointed.max(through);
    }

    pub fn installed(&mut self, position: Position) {
        self.applied = position.index;
        self.checkpointed = self.checkpointed.max(position.index);
        self.applying = None;
    }
}
