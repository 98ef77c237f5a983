//! Snapshots: giving one to a peer, getting one, putting it in SQLite's place.

use bellwether_storage::files::Files;
use bellwether_storage::snapshot::{Copying, ImageId, Receiving, SnapshotError, SnapshotInfo, read_chunk};
use bellwether_types::{NodeId, Position};
use bytes::Bytes;

use super::context::{Action, Context, NodeEvent};
use crate::peer::PeerMessage;

/// A snapshot that has not come after so long is asked for again.
const OVERDUE_US: u64 = 3_000_000;

/// Bytes copied or read at a time.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Seeding {
    attempts: u64,
    /// The attempt under way.
    wanted: Option<u64>,
    staged: Option<(Receiving, SnapshotInfo)>,
}

impl Seeding {
    /// The machine wants one.
    pub fn ask(&mut self, from: NodeId, at_least: Position, context: &mut Context<'_>) {
        self.attempts += 1;
        self.wanted = Some(self.attempts);
        context
            .actions
            .push(Action::Send(from, PeerMessage::AskSnapshot { at_least }));
        context.after(
            OVERDUE_US,
            NodeEvent::SnapshotOverdue {
                attempt: self.attempts,
            },
        );
    }

    /// Whether the attempt is given up now.
    pub fn handle_overdue(&mut self, attempt: u64) -> bool {
        self.wanted.take_if(|wanted| *wanted == attempt).is_some()
    }

    /// It came: puts it aside, durably when it is put in place. Answers its position.
    pub fn handle_image(
        &mut self,
        files: &Files,
        info: SnapshotInfo,
        image: &[u8],
        context: &mut Context<'_>,
    ) -> Option<Position> {
        self.wanted.take()?;
        let receive = || {
            let mut receiving = Receiving::start(files, ImageId(info.checksum), info.bytes)?;
            let missing = image.get(receiving.received() as usize..).unwrap_or_default();
            missing
                .chunks(PIECE_BYTES)
                .try_for_each(|piece| receiving.append(piece))?;
            Ok::<Receiving, SnapshotError>(receiving)
        };
        match receive() {
            Ok(receiving) => {
                self.staged = Some((receiving, info));
                Some(info.position)
            }
            Err(error) => {
                context.stop(format!("a snapshot cannot be received: {error}"));
                None
            }
        }
    }

    /// Puts what is staged in place. No connection is open.
    pub fn install(&mut self, context: &mut Context<'_>) {
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

/// Copies the replica for a peer.
pub(super) fn take(files: &Files, peer: NodeId, context: &mut Context<'_>) {
    let path = files.path.with_extension(format!("for-{peer}"));
    let copy = || {
        let mut copying = Copying::start(files, &path)?;
        let info = loop {
            if let Some(info) = copying.step(PIECE_BYTES)? {
                break info;
            }
        };
        let mut image = Vec::new();
        while (image.len() as u64) < info.bytes {
            image.extend(read_chunk(files, &path, image.len() as u64, PIECE_BYTES)?);
        }
        Ok::<_, SnapshotError>(PeerMessage::Snapshot {
            info,
            image: Bytes::from(image),
        })
    };
    match copy() {
        Ok(message) => context.actions.push(Action::Send(peer, message)),
        Err(error) => context.stop(format!("a snapshot cannot be taken: {error}")),
    }
}
