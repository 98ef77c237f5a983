//! The log as its one owner sees it: append, sync, cut, reset.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_types::Configuration;
use bellwether_types::disk::Disk;
use bellwether_types::entry::{Entry, HardState, MAX_PAYLOAD_BYTES};
use bellwether_types::position::{LogIndex, Position, Term};

use crate::error::{IoFailure, OpenError, ReadError, WriteError};
use crate::frame::{self, Content};
use crate::header::{Header, Identity};
use crate::index::{Extent, SharedIndex};
use crate::reader::LogReader;
use crate::recovery::{self, Replay};
use crate::segment::{FIRST_FRAMES_BYTES, Prepared, SEGMENT_BYTES, Sizing, Tail, path_of};

/// The replication log of one database. One owner writes; see [`Log::reader`] for others.
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: Identity,
    sizing: Sizing,
    index: Arc<SharedIndex>,
    reader: LogReader,
    tail: Tail,
    hard_state: HardState,
    /// For entries to come; see [`Log::reserve`].
    reserved_bytes: usize,
    /// Whether the last frame is a sync mark and durable.
    is_sealed: bool,
    /// Where the frames ended when [`Log::seal_if_resting`] was called last.
    looked_at: (u64, u32),
    has_failed: bool,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}

/// What was found at opening. All of it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The last one written; `commit` is brought into `base.index..=last.index`.
    pub hard_state: HardState,
    /// The first entry kept, or to come.
    pub first: LogIndex,
    /// The position just before `first`: of the last entry cut away or of a snapshot; zero in a whole log.
    pub base: Position,
    /// The last entry's position, or `base`.
    pub last: Position,
    /// Where each term starts among the entries kept, ascending.
    pub terms: Vec<(LogIndex, Term)>,
    /// What the entries kept say of the group ([`bellwether_types::Payload::Configure`]), ascending.
    pub configurations: Vec<(LogIndex, Configuration)>,
    /// Bytes behind the last sound frame that a crash left half written. They were cut.
    pub torn_tail_bytes: u64,
}

impl Recovered {
    pub(crate) fn of(replay: &Replay) -> Recovered {
        let (base, last) = (replay.index.base(), replay.index.last());
        let commit = replay.hard_state.commit.clamp(base.index, last.index);
        Recovered {
            hard_state: HardState {
                commit,
                ..replay.hard_state
            },
            first: base.index.next(),
            base,
            last,
            terms: replay.index.terms().to_vec(),
            configurations: replay.index.configurations().to_vec(),
            torn_tail_bytes: u64::from(replay.torn_bytes),
        }
    }
}

/// Frames to be written with one write, and what they say, for the index.
#[derive(Default)]
struct Group<'a> {
    bytes: Vec<u8>,
    contents: Vec<(u32, Content<'a>)>,
}

impl Log {
    /// Opens the log in `dir`, or founds it. Reads all of it.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, identity: Identity) -> Result<(Log, Recovered), OpenError> {
        Log::open_sized(disk, dir, identity, Sizing::default())
    }

    /// [`Log::open`] with segments of another size; a log may be opened with another sizing each time.
    pub fn open_sized(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: Identity,
        sizing: Sizing,
    ) -> Result<(Log, Recovered), OpenError> {
        let (replay, tail) = match recovery::replay(&*disk, dir, Some(identity))? {
            Some(replay) => {
                let file = recovery::repair(&*disk, dir, &replay)?;
                let extent = *replay
                    .index
                    .extents()
                    .back()
                    .expect("replay answers logs with a segment only");
                let tail = Tail::resume(file, path_of(dir, extent.sequence), extent, sizing);
                (replay, tail)
            }
            None => found_log(&*disk, dir, identity, sizing)?,
        };
        let recovered = Recovered::of(&replay);
        let hard_state = recovered.hard_state;
        let index = Arc::new(SharedIndex::new(replay.index));
        let dir = dir.to_owned();
        let reader = LogReader::new(Arc::clone(&disk), dir.clone(), Arc::clone(&index));
        let (is_sealed, has_failed) = (false, false);
        let log = Log {
            disk,
            dir,
            identity,
            sizing,
            index,
            reader,
            tail,
            hard_state,
            reserved_bytes: 0,
            is_sealed,
            looked_at: (0, 0),
            has_failed,
        };
        Ok((log, recovered))
    }

    /// Another handle, which reads while this one appends.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// The last entry's position, or the base's.
    pub fn last(&self) -> Position {
        self.index.lock().last()
    }

    /// The first entry kept, or to come.
    pub fn first(&self) -> LogIndex {
        self.index.lock().base().index.next()
    }

    /// The position just before [`Log::first`].
    pub fn base(&self) -> Position {
        self.index.lock().base()
    }

    /// The term of the entry at `index`, or of the base.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.index.lock().term_at(index)
    }

    /// The last one set or recovered.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// What its files take, with the zeros written ahead.
    pub fn size_bytes(&self) -> u64 {
        self.index
            .lock()
            .extents()
            .iter()
            .map(|extent| u64::from(extent.file_bytes))
            .sum()
    }

    /// Whether something was written that [`Log::sync`] has not made durable.
    pub fn is_dirty(&self) -> bool {
        self.tail.is_dirty()
    }

    /// See [`LogReader::read`].
    pub fn read(&mut self, from: LogIndex, to: LogIndex, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        self.reader.read(from, to, max_bytes)
    }

    /// Finds room for entries before anybody is told that they are taken: with those reserved since the last
    /// [`Log::append`], these can be appended without more space on the disk, and hard states after them. On
    /// [`WriteError::Full`] nothing has changed: the log goes on, and so do reservations made before.
    ///
    /// All that is reserved at a time fits one segment: a caller that wants more appends first, and is told so by
    /// [`WriteError::ReservedTooMuch`].
    pub fn reserve(&mut self, payload_bytes: impl IntoIterator<Item = usize>) -> Result<(), WriteError> {
        self.check_running()?;
        let frames = payload_bytes.into_iter().map(frame::max_frame_bytes);
        let before = self.reserved_bytes;
        self.reserved_bytes += frames.sum::<usize>();
        let found = self.check_reserved().and_then(|()| self.find_room());
        if found.is_err() {
            self.reserved_bytes = before;
        }
        found
    }

    /// Whatever was reserved and not appended is not coming.
    pub fn release(&mut self) {
        self.reserved_bytes = 0;
    }

    /// What [`Log::reserve`] promised and was not appended yet, in bytes of frames.
    pub fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    /// Writes entries, consecutive ones; durable after [`Log::sync`]. The first one's index is at most one
    /// more than the last's; when it is less, everything from there on is superseded: after a crash either
    /// the old suffix is there or the first of the new entries.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), WriteError> {
        self.check_running()?;
        let superseded = self.check_entries(entries)?;
        self.reserved_bytes = 0;
        let mut group = Group::default();
        for (at, entry) in entries.iter().enumerate() {
            let content = match superseded.filter(|_| at == 0) {
                Some(kept) => Content::Supersede {
                    kept,
                    position: entry.position,
                    payload: &entry.payload,
                },
                None => Content::entry(entry),
            };
            self.push(&mut group, content)?;
        }
        self.write(group)
    }

    /// Writes term, vote and commit; durable after [`Log::sync`]. Nothing is written when nothing changed.
    /// Entries that `commit` counts must have been appended before: what survives a crash is a prefix.
    pub fn set_hard_state(&mut self, state: HardState) -> Result<(), WriteError> {
        self.check_running()?;
        if state == self.hard_state {
            return Ok(());
        }
        check_terms(self.hard_state.term, state.term)?;
        let mut group = Group::default();
        self.push(&mut group, Content::HardState(state))?;
        self.write(group)?;
        self.hard_state = state;
        Ok(())
    }

    /// Makes all that was written durable, entries and hard state: one fdatasync, or none when nothing was.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.check_running()?;
        let outcome = self.tail.sync();
        self.note_failure(outcome.map_err(WriteError::from))
    }

    /// Syncs, and writes and syncs a mark after what is there, so that even the last frames can no longer be
    /// taken for a torn tail. For shutdown and idle times; costs nothing when repeated.
    pub fn seal(&mut self) -> Result<(), WriteError> {
        self.sync()?;
        if self.is_sealed {
            return Ok(());
        }
        let mut group = Group::default();
        self.push(&mut group, Content::Mark)?;
        self.write(group)?;
        self.sync()?;
        self.is_sealed = true;
        Ok(())
    }

    /// To be called now and then: seals when nothing was written since the last call, so that rot of what rests is never taken
    /// for a torn write.
    pub fn seal_if_resting(&mut self) -> Result<(), WriteError> {
        let Extent { sequence, end, .. } = self.tail.extent();
        if std::mem::replace(&mut self.looked_at, (sequence, end)) == (sequence, end) {
            self.seal()?;
        }
        Ok(())
    }

    /// Retention: removes the oldest segments as long as all their entries have an index of at most
    /// `through`. How far that may be is the caller's to know: never beyond what is durable elsewhere. The
    /// segment that is appended to always stays.
    pub fn cut_prefix(&mut self, through: LogIndex) -> Result<(), WriteError> {
        while self.cut_segment(through)? {}
        Ok(())
    }

    /// One segment of what [`Log::cut_prefix`] removes: two syncs and a file's end, some milliseconds. False: there is none.
    pub fn cut_segment(&mut self, through: LogIndex) -> Result<bool, WriteError> {
        self.check_running()?;
        let cuttable = self.index.lock().cuttable(through);
        let Some(oldest) = cuttable else { return Ok(false) };
        // What supersedes the entries of later segments must not vanish after their predecessors have.
        self.sync()?;
        self.index.lock().cut_oldest();
        // One by one: names may vanish in any order before the directory is synced, and a gap is corruption.
        let outcome = self.remove_segments(&[oldest.sequence]);
        self.note_failure(outcome)?;
        Ok(true)
    }

    /// After a snapshot was installed: forgets all entries; the next one follows `base`. Durable when it
    /// returns, the hard state with it.
    pub fn reset(&mut self, base: Position) -> Result<(), WriteError> {
        self.check_running()?;
        let header = Header {
            base,
            starts_anew: true,
            previous_end: 0,
            ..self.next_header()
        };
        self.start_segment(&header)?;
        let old: Vec<u64> = {
            let mut index = self.index.lock();
            let old = index.extents().iter().map(|extent| extent.sequence).collect();
            index.reset(base);
            index.start_segment(self.tail.extent());
            old
        };
        let outcome = self.remove_segments(&old);
        self.note_failure(outcome)
    }

    /// A segment is never longer than what is read back of it.
    fn check_reserved(&self) -> Result<(), WriteError> {
        if self.room_bytes() + FIRST_FRAMES_BYTES > SEGMENT_BYTES as usize {
            return Err(WriteError::ReservedTooMuch {
                reserved_bytes: self.reserved_bytes,
            });
        }
        Ok(())
    }

    fn find_room(&mut self) -> Result<(), WriteError> {
        let needed_bytes = self.room_bytes();
        if !self.tail.has_room(0, needed_bytes) {
            return self.roll();
        }
        let allocated = self.tail.allocate(needed_bytes);
        self.note_failure(allocated)?;
        let Extent { end, file_bytes, .. } = self.tail.extent();
        self.index.lock().grow(end, file_bytes);
        Ok(())
    }

    /// What the segment that is appended to must have room for.
    fn room_bytes(&self) -> usize {
        self.reserved_bytes + self.sizing.margin_bytes()
    }

    fn check_running(&self) -> Result<(), WriteError> {
        if self.has_failed {
            Err(WriteError::Stopped)
        } else {
            Ok(())
        }
    }

    fn note_failure<T>(&mut self, outcome: Result<T, WriteError>) -> Result<T, WriteError> {
        self.has_failed |= outcome.as_ref().is_err_and(WriteError::is_fatal);
        outcome
    }

    /// What the first entry supersedes: the last position that stays, when it is not the log's last.
    fn check_entries(&self, entries: &[Entry]) -> Result<Option<Position>, WriteError> {
        let Some(first) = entries.first().map(|entry| entry.position.index) else {
            return Ok(None);
        };
        let index = self.index.lock();
        if first <= index.base().index {
            return Err(WriteError::BelowBase {
                base: index.base(),
                found: first,
            });
        }
        let kept_index = LogIndex(first.0 - 1);
        let Some(term) = index.term_at(kept_index) else {
            return Err(WriteError::NotContiguous {
                expected: index.last().index.next(),
                found: first,
            });
        };
        let kept = Position {
            term,
            index: kept_index,
        };
        let mut before = kept;
        for entry in entries {
            let position = entry.position;
            if position.index != before.index.next() {
                return Err(WriteError::NotContiguous {
                    expected: before.index.next(),
                    found: position.index,
                });
            }
            check_terms(before.term, position.term)?;
            if entry.payload.len() > MAX_PAYLOAD_BYTES {
                let payload_bytes = entry.payload.len();
                return Err(WriteError::TooLarge {
                    index: position.index,
                    payload_bytes,
                });
            }
            before = position;
        }
        Ok((kept != index.last()).then_some(kept))
    }

    /// Adds a frame to the group; writes the group and starts a segment first when the frame has no room in
    /// this one.
    fn push<'a>(&mut self, group: &mut Group<'a>, content: Content<'a>) -> Result<(), WriteError> {
        if !self.tail.has_room(group.bytes.len(), content.max_frame_bytes()) {
            self.write(std::mem::take(group))?;
            self.roll()?;
        }
        let place = self.tail.place(group.bytes.len());
        frame::encode(&content, place, &mut group.bytes);
        group.contents.push((place.offset, content));
        Ok(())
    }

    fn write(&mut self, group: Group<'_>) -> Result<(), WriteError> {
        if group.bytes.is_empty() {
            return Ok(());
        }
        let outcome = self.tail.write(&group.bytes);
        self.note_failure(outcome)?;
        self.is_sealed = false;
        let extent = self.tail.extent();
        let mut index = self.index.lock();
        index.grow(extent.end, extent.file_bytes);
        for (offset, content) in &group.contents {
            index
                .apply(*offset, content)
                .expect("entries are checked before they are written");
        }
        Ok(())
    }

    /// Goes on in a new segment, so that those before it can be cut. Its being there says that all before it was durable.
    pub fn roll(&mut self) -> Result<(), WriteError> {
        self.sync()?;
        let header = self.next_header();
        self.start_segment(&header)?;
        self.index.lock().start_segment(self.tail.extent());
        Ok(())
    }

    fn next_header(&self) -> Header {
        let Extent { sequence, end, .. } = self.tail.extent();
        let (base, identity) = (self.last(), self.identity);
        Header {
            identity,
            sequence: sequence + 1,
            base,
            starts_anew: false,
            previous_end: end,
        }
    }

    fn start_segment(&mut self, header: &Header) -> Result<(), WriteError> {
        let (disk, dir, sizing) = (&*self.disk, &*self.dir, self.sizing);
        let created = Prepared::write(disk, dir, header, self.hard_state, self.room_bytes(), sizing)
            .map_err(WriteError::unless_full)
            .and_then(|prepared| Ok(Tail::publish(disk, dir, prepared, sizing)?));
        self.tail = self.note_failure(created)?;
        self.is_sealed = false;
        Ok(())
    }

    fn remove_segments(&self, sequences: &[u64]) -> Result<(), WriteError> {
        for sequence in sequences {
            let path = path_of(&self.dir, *sequence);
            self.disk
                .remove(&path)
                .map_err(|source| IoFailure::new("remove", &path, source))?;
        }
        self.disk
            .sync_dir(&self.dir)
            .map_err(|source| IoFailure::new("sync", &self.dir, source))?;
        Ok(())
    }
}

/// A log without entries: its directory and its first segment, durable.
fn found_log(
    disk: &dyn Disk,
    dir: &Path,
    identity: Identity,
    sizing: Sizing,
) -> Result<(Replay, Tail), OpenError> {
    disk.create_dir(dir)
        .map_err(|source| IoFailure::new("create", dir, source))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent)
            .map_err(|source| IoFailure::new("sync", parent, source))?;
    }
    let header = Header {
        identity,
        sequence: 1,
        base: Position::ZERO,
        starts_anew: true,
        previous_end: 0,
    };
    let room_bytes = sizing.margin_bytes();
    let prepared = Prepared::write(disk, dir, &header, HardState::default(), room_bytes, sizing)?;
    let tail = Tail::publish(disk, dir, prepared, sizing)?;
    Ok((Replay::founded(identity, tail.extent()), tail))
}

fn check_terms(before: Term, found: Term) -> Result<(), WriteError> {
    if found < before {
        return Err(WriteError::TermWentBack {
            before: before.0,
            found: found.0,
        });
    }
    Ok(())
}
