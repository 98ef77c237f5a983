//! What can fail, one enum per operation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bellwether_types::codec::DecodeError;
use bellwether_types::position::{LogIndex, Position};

use crate::frame::Damage;
use crate::header::{Identity, VERSION};

/// What is wrong with a segment at a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The header does not check out.
    Header(DecodeError),
    /// A frame that was durable does not check out.
    Frame(Damage),
    /// Frames, each right by itself, that cannot follow one another.
    Order {
        /// The last position before.
        after: Position,
        /// The position found.
        found: Position,
    },
    /// Frames go on, or end, where the next segment says that they do not.
    WrongEnd {
        /// Where the next segment says that they end, in bytes.
        expected_offset: u32,
    },
    /// More bytes than a segment can have.
    TooLong,
    /// The header's sequence number is another than the file name's.
    WrongName {
        /// The header's.
        sequence: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Header(error) => write!(f, "the header cannot be read: {error}"),
            Flaw::Frame(damage) => write!(f, "{damage}"),
            Flaw::Order { after, found } => write!(f, "position {found} cannot follow {after}"),
            Flaw::WrongEnd { expected_offset } => {
                write!(
                    f,
                    "the next segment says that this one ends at byte {expected_offset}"
                )
            }
            Flaw::TooLong => write!(f, "the file is longer than a segment can be"),
            Flaw::WrongName { sequence } => write!(f, "the header says that this is segment {sequence}"),
        }
    }
}

/// The operating system refused.
#[derive(Debug)]
pub struct IoFailure {
    /// What was tried, a verb.
    pub operation: &'static str,
    /// On what.
    pub file: PathBuf,
    /// The answer.
    pub source: io::Error,
}

impl IoFailure {
    pub(crate) fn new(operation: &'static str, file: &Path, source: io::Error) -> IoFailure {
        IoFailure {
            operation,
            file: file.to_owned(),
            source,
        }
    }
}

impl fmt::Display for IoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} {}: {}",
            self.operation,
            self.file.display(),
            self.source
        )
    }
}

impl From<IoFailure> for OpenError {
    fn from(failure: IoFailure) -> OpenError {
        OpenError::Io(failure)
    }
}

impl From<IoFailure> for WriteError {
    fn from(failure: IoFailure) -> WriteError {
        WriteError::Io(failure)
    }
}

impl From<IoFailure> for ReadError {
    fn from(failure: IoFailure) -> ReadError {
        ReadError::Io(failure)
    }
}

/// Why a log cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The directory belongs to another cluster, node or database.
    Foreign {
        /// The segment that says so.
        file: PathBuf,
        /// Who was expected.
        expected: Identity,
        /// Whose it is.
        found: Identity,
    },
    /// Written by another version.
    Version {
        /// The segment.
        file: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Bytes that were durable are not what was written. Nothing was changed on disk.
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        flaw: Flaw,
    },
    /// A segment between others is gone.
    MissingSegment {
        /// The file that is not there.
        file: PathBuf,
    },
    /// The operating system refused.
    Io(IoFailure),
}

impl OpenError {
    /// Whether bytes that were durable are lost. [`crate::Salvage`] says whether the node can do without them.
    pub fn is_corruption(&self) -> bool {
        matches!(self, OpenError::Corrupt { .. } | OpenError::MissingSegment { .. })
    }
}

/// A node that begins anew under its old number would vote twice in a term, and count for entries that it lost.
const REPLACE: &str = "what this node has acknowledged may be lost, so nothing was changed; \
                       take it out (\"bellwether node remove\") and let another join in its place \
                       (\"bellwether serve --join\" with an empty directory)";

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Foreign {
                file,
                expected,
                found,
            } => {
                let file = file.display();
                if found.cluster != expected.cluster {
                    let (found, expected) = (found.cluster, expected.cluster);
                    write!(
                        f,
                        "log segment {file} belongs to cluster {found}; this node is of cluster {expected}"
                    )
                } else if found.node != expected.node {
                    let (found, expected) = (found.node, expected.node);
                    write!(
                        f,
                        "log segment {file} belongs to node {found}; this is node {expected}"
                    )
                } else {
                    let (found, expected) = (found.database, expected.database);
                    write!(
                        f,
                        "log segment {file} belongs to database {found}; this is database {expected}"
                    )
                }
            }
            OpenError::Version { file, found } => {
                let file = file.display();
                write!(
                    f,
                    "log segment {file} has format version {found}; this build reads version {VERSION}"
                )
            }
            OpenError::Corrupt { file, offset, flaw } => {
                write!(
                    f,
                    "log segment {} is corrupt at byte {offset}: {flaw}; {REPLACE}",
                    file.display()
                )
            }
            OpenError::MissingSegment { file } => {
                write!(
                    f,
                    "log segment {} is missing between others; {REPLACE}",
                    file.display()
                )
            }
            OpenError::Io(failure) => write!(f, "{failure}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io(failure) => Some(&failure.source),
            _ => None,
        }
    }
}

/// Why a write was not done. Ask [`WriteError::is_fatal`] whether the log can go on.
#[derive(Debug)]
pub enum WriteError {
    /// The first entry leaves a gap, or two neighbours do not follow one another.
    NotContiguous {
        /// The index that may come at most.
        expected: LogIndex,
        /// The index that came.
        found: LogIndex,
    },
    /// The first entry would replace one that was cut away: that one was committed.
    BelowBase {
        /// What was cut away, through here.
        base: Position,
        /// The index that came.
        found: LogIndex,
    },
    /// A term less than the one before it.
    TermWentBack {
        /// Before.
        before: u64,
        /// What came.
        found: u64,
    },
    /// An entry of more than [`bellwether_types::entry::MAX_PAYLOAD_BYTES`].
    TooLarge {
        /// Which.
        index: LogIndex,
        /// How large.
        payload_bytes: usize,
    },
    /// No space left. The log goes on as it was: of the entries an initial part may have been appended, which
    /// `last` tells.
    Full {
        /// On what.
        file: PathBuf,
    },
    /// More than a segment holds would be reserved. What is reserved already must be appended first.
    ReservedTooMuch {
        /// With this.
        reserved_bytes: usize,
    },
    /// The operating system refused, and what is durable is unknown.
    Io(IoFailure),
    /// An earlier write failed.
    Stopped,
}

impl WriteError {
    /// Of a failure before which nothing was written that counts: a full disk leaves the log as it was.
    pub(crate) fn unless_full(failure: IoFailure) -> WriteError {
        match failure.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                WriteError::Full { file: failure.file }
            }
            _ => WriteError::Io(failure),
        }
    }

    /// Whether the log takes nothing more until it is opened anew. The caller must stop the replica: what it
    /// wrote and did not sync may or may not be there.
    pub fn is_fatal(&self) -> bool {
        matches!(self, WriteError::Io(_) | WriteError::Stopped)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::NotContiguous { expected, found } => {
                write!(f, "log entry {found} leaves a gap: {expected} comes next")
            }
            WriteError::BelowBase { base, found } => {
                write!(
                    f,
                    "log entry {found} would replace one through {} that was cut away",
                    base.index
                )
            }
            WriteError::TermWentBack { before, found } => write!(f, "term {found} comes after term {before}"),
            WriteError::TooLarge { index, payload_bytes } => {
                write!(
                    f,
                    "log entry {index} has {payload_bytes} bytes, more than one entry may have"
                )
            }
            WriteError::Full { file } => {
                write!(
                    f,
                    "no space left for log segment {}; free some and retry",
                    file.display()
                )
            }
            WriteError::ReservedTooMuch { reserved_bytes } => {
                write!(
                    f,
                    "{reserved_bytes} bytes of entries wait to be written, more than a log segment holds"
                )
            }
            WriteError::Io(failure) => write!(f, "{failure}; the log must be opened anew"),
            WriteError::Stopped => write!(f, "an earlier write to the log failed; it must be opened anew"),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Io(failure) => Some(&failure.source),
            _ => None,
        }
    }
}

/// Why entries cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The first entry asked for is gone: a snapshot must take its place.
    Cut {
        /// What was cut away, through here.
        base: Position,
    },
    /// Bytes that were written are not there any more.
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The operating system refused.
    Io(IoFailure),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Cut { base } => write!(f, "log entries through {} were cut away", base.index),
            ReadError::Corrupt { file, offset, flaw } => {
                write!(
                    f,
                    "log segment {} is corrupt at byte {offset}: {flaw}; the node mends its log when it starts",
                    file.display()
                )
            }
            ReadError::Io(failure) => write!(f, "{failure}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(failure) => Some(&failure.source),
            _ => None,
        }
    }
}
