//! Snapshots: giving one to a peer, getting one, putting it in SQLite's place. They travel in pieces, each asked for;
//! what was received is kept over restarts, and a sender that still has the same image goes on with it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io;

use bellwether_storage::files::Files;
use bellwether_storage::snapshot::{ImageId, Receiving, Snapshot, SnapshotError, SnapshotInfo};
use bellwether_types::{Configuration, LogIndex, NodeId, Position};
use bytes::Bytes;

use super::context::{Action, Context, NodeEvent};
use crate::bug::Bug;
use crate::clock::Time;
use crate::peer::{PeerMessage, Piece};

/// A piece that has not come after so long is asked for again; after so many times the next source is asked, and after
/// the last one the attempt is given up.
const OVERDUE_US: u64 = 300_000;
const ASKED_MAX: u32 = 8;

/// Bytes read at a time: small, so that faults fall between pieces.
const PIECE_BYTES: usize = 64 << 10;

/// A peer that asks for nothing so long has gone, and its snapshot no longer holds checkpoints back.
const KEPT_US: u64 = 2_500_000;

/// One that is wanted.
struct Wanted {
    attempt: u64,
    from: NodeId,
    /// Who is asked next.
    others: VecDeque<NodeId>,
    at_least: Position,
    receiving: Option<(u128, Receiving)>,
    /// How often the next piece was asked for.
    asked: u32,
}

/// One that a peer gets.
struct Given {
    id: u128,
    snapshot: Snapshot,
    touched: Time,
}

pub(super) struct Seeding {
    /// As this node was told, for a planted bug.
    founding: Configuration,
    attempts: u64,
    wanted: Option<Wanted>,
    staged: Option<(Receiving, SnapshotInfo)>,
    given: BTreeMap<NodeId, Given>,
}

/// What a piece led to.
pub(super) enum Progress {
    /// More is to come.
    Going,
    /// All is here; its position, and the group that is stored in it.
    Staged(Position, Configuration),
    /// Nothing comes of this attempt.
    Failed,
}

/// Getting one.
impl Seeding {
    pub fn new(founding: Configuration) -> Seeding {
        Seeding {
            founding,
            attempts: 0,
            wanted: None,
            staged: None,
            given: BTreeMap::new(),
        }
    }

    /// The machine wants one; the other members are asked when `from` has none to give.
    pub fn ask(
        &mut self,
        from: NodeId,
        others: impl Iterator<Item = NodeId>,
        at_least: Position,
        context: &mut Context<'_>,
    ) {
        self.attempts += 1;
        self.wanted = Some(Wanted {
            attempt: self.attempts,
            from,
            others: others.filter(|node| *node != from).collect(),
            at_least,
            receiving: None,
            asked: 0,
        });
        self.ask_next(context);
    }

    fn ask_next(&mut self, context: &mut Context<'_>) {
        let Some(wanted) = &mut self.wanted else { return };
        wanted.asked += 1;
        let message = PeerMessage::AskSnapshot {
            at_least: wanted.at_least,
            next: wanted.receiving.as_ref().map(|(id, part)| (*id, part.received())),
        };
        context.actions.push(Action::Send(wanted.from, message));
        let overdue = NodeEvent::SnapshotOverdue {
            attempt: wanted.attempt,
            received: received(wanted),
        };
        context.after(OVERDUE_US, overdue);
    }

    /// Whether the attempt is given up now.
    pub fn handle_overdue(&mut self, attempt: u64, at: Option<u64>, context: &mut Context<'_>) -> bool {
        let is_stuck = |wanted: &&mut Wanted| wanted.attempt == attempt && received(wanted) == at;
        let Some(wanted) = self.wanted.as_mut().filter(is_stuck) else {
            return false;
        };
        if wanted.asked >= ASKED_MAX {
            let Some(next) = wanted.others.pop_front() else {
                self.wanted = None;
                return true;
            };
            wanted.from = next;
            wanted.receiving = None;
            wanted.asked = 0;
        }
        self.ask_next(context);
        false
    }

    /// A piece came. One that was not asked for is left.
    pub fn handle_piece(&mut self, files: &Files, piece: Piece, context: &mut Context<'_>) -> Progress {
        match self.take(files, piece) {
            Ok(Some(Progress::Going)) => {
                if let Some(wanted) = &mut self.wanted {
                    wanted.asked = 0;
                }
                self.ask_next(context);
                Progress::Going
            }
            Ok(Some(Progress::Staged(mut position, configuration))) => {
                if context.has(Bug::SkipRecordAfterSnapshot) {
                    position.index = position.index.next();
                }
                Progress::Staged(position, configuration)
            }
            Ok(Some(Progress::Failed) | None) => Progress::Going,
            Err(SnapshotError::Io {
                kind: io::ErrorKind::StorageFull,
                ..
            }) => {
                self.wanted = None;
                Progress::Failed
            }
            Err(error) => {
                context.stop(format!("a snapshot cannot be received: {error}"));
                Progress::Going
            }
        }
    }

    fn take(&mut self, files: &Files, piece: Piece) -> Result<Option<Progress>, SnapshotError> {
        let Some(wanted) = &mut self.wanted else {
            return Ok(None);
        };
        if wanted.receiving.as_ref().is_none_or(|(id, _)| *id != piece.id) {
            let receiving = Receiving::start(files, ImageId(piece.id), piece.bytes)?;
            wanted.receiving = Some((piece.id, receiving));
            return Ok(Some(Progress::Going));
        }
        let (_, receiving) = wanted.receiving.as_mut().expect("just seen");
        if piece.offset != receiving.received() {
            return Ok(None);
        }
        let Some((info, configuration)) = piece.end else {
            let is_head = piece.content.is_empty();
            receiving.append(&piece.content)?;
            return Ok((!is_head).then_some(Progress::Going));
        };
        let (_, receiving) = wanted.receiving.take().expect("just seen");
        self.wanted = None;
        self.staged = Some((receiving, info));
        Ok(Some(Progress::Staged(info.position, configuration)))
    }

    /// Puts what is staged in place, and answers where it stands. No connection is open.
    pub fn install(&mut self, context: &mut Context<'_>) {
        self.given.clear();
        let Some((staged, info)) = self.staged.take() else {
            return context.actions.push(Action::Broken(
                "InstallSnapshot without one that is staged".to_owned(),
            ));
        };
        if let Err(error) = staged.finish(info) {
            context.stop(format!("a snapshot cannot be put in place: {error}"));
        }
    }
}

fn received(wanted: &Wanted) -> Option<u64> {
    wanted.receiving.as_ref().map(|(_, part)| part.received())
}

/// Giving one.
impl Seeding {
    /// A peer asks; `applied` is what there is, if it may be given.
    pub fn handle_ask(
        &mut self,
        peer: NodeId,
        at_least: Position,
        next: Option<(u128, u64)>,
        applied: Option<LogIndex>,
        context: &mut Context<'_>,
    ) {
        self.given
            .retain(|to, given| *to != peer || given.snapshot.position().index >= at_least.index);
        if self.given.contains_key(&peer) || applied.is_some_and(|applied| applied >= at_least.index) {
            let delay_us = context.random.latency_us(1_000) * context.disk_factor;
            context.after(delay_us, NodeEvent::SnapshotPiece { peer, next });
        }
    }

    /// The next piece was read. Without `next`, or when it is of an image that is no longer there, it is the head.
    pub fn give(
        &mut self,
        files: &Files,
        peer: NodeId,
        next: Option<(u128, u64)>,
        context: &mut Context<'_>,
    ) {
        match self.read_piece(files, peer, next, context) {
            Ok(piece) => {
                let message = PeerMessage::Snapshot(piece);
                context.actions.push(Action::Send(peer, message));
            }
            Err(error) => context.fail_storage(
                error.is_damage(),
                format_args!("a snapshot cannot be taken: {error}"),
            ),
        }
    }

    fn read_piece(
        &mut self,
        files: &Files,
        peer: NodeId,
        next: Option<(u128, u64)>,
        context: &mut Context<'_>,
    ) -> Result<Piece, SnapshotError> {
        let given = match self.given.entry(peer) {
            Entry::Occupied(given) => given.into_mut(),
            Entry::Vacant(place) => place.insert(Given {
                id: u128::from(context.random.bits()),
                snapshot: Snapshot::start(files)?,
                touched: context.now,
            }),
        };
        given.touched = context.now;
        let bytes = given.snapshot.bytes();
        let mut piece = Piece {
            id: given.id,
            bytes,
            offset: 0,
            content: Bytes::new(),
            end: None,
        };
        if let Some((id, offset)) = next
            && id == given.id
        {
            piece.offset = offset;
            match offset < bytes {
                true => piece.content = given.snapshot.read_chunk(offset, PIECE_BYTES)?.into(),
                false => {
                    let info = given.snapshot.info(u64::MAX)?;
                    let is_of_founders =
                        context.has(Bug::ImageOfFounders) && !self.founding.voters.is_empty();
                    let configuration = match is_of_founders {
                        true => self.founding.clone(),
                        false => given.snapshot.configuration().clone(),
                    };
                    piece.end = info.map(|info| (info, configuration));
                }
            }
        }
        Ok(piece)
    }

    /// Gives up what nobody asks for.
    pub fn expire(&mut self, now: Time) {
        self.given
            .retain(|_, given| now.since_us(given.touched) < KEPT_US);
    }
}
