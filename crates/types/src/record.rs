//! The envelope: what every record says, whatever its format.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::configuration::Configuration;
use crate::durability::Durability;
use crate::fingerprint::Fingerprint;
use crate::format::Format;
use crate::id::{NodeId, RequestId, SessionId, TableId};
use crate::notification::Notification;
use crate::position::Position;
use crate::result::KeptResult;
use crate::statement::CommandTag;
use crate::timestamp::Timestamp;

/// The content of a log entry that is not empty.
///
/// A group of transactions is one `Record`. When its body is too large for one entry, its front is sent ahead as
/// `Chunk`s in consecutive entries, and the record that ends the run carries the rest. A run that is followed by
/// anything else (another leader's first entry, a record with fewer `chunks`) was abandoned: it changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// A slice of the body of the record to come, cut at any byte.
    Chunk {
        /// Which slice of its run, from 0.
        sequence: u64,
        /// The bytes.
        body: Bytes,
    },
    /// A group of transactions, committed together.
    Record(Box<Record>),
    /// Every replica runs VACUUM by itself; nothing of it is in the log. Idempotent.
    Vacuum {
        /// Where it must stand.
        position: Position,
        /// When, in hybrid time.
        timestamp: Timestamp,
        /// The node that proposed it.
        origin: NodeId,
        /// Who asked, for deduplication.
        transaction: Transaction,
    },
    /// From here on the group is this. Changes no table.
    Configure {
        /// Where it must stand.
        position: Position,
        /// When, in hybrid time.
        timestamp: Timestamp,
        /// The node that proposed it.
        origin: NodeId,
        /// All members; some of them vote.
        configuration: Configuration,
    },
}

/// What all notifications of a record may take, by [`Notification::size_bytes`].
pub const NOTIFICATIONS_BYTES_MAX: usize = 1 << 20;

/// What all kept results of a record may take, by [`KeptResult::size_bytes`]: sixteen of the largest.
pub const KEPT_RESULTS_BYTES_MAX: usize = 1 << 20;

/// One group of client transactions.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The place reserved for it, also written into SQLite in the same transaction. Must equal its entry's.
    pub position: Position,
    /// The node that executed it.
    pub origin: NodeId,
    /// When, in hybrid time. Greater than that of every earlier record of this log.
    pub timestamp: Timestamp,
    /// How `body` is written.
    pub format: Format,
    /// The client transactions in it, in order of execution. Their results take at most [`KEPT_RESULTS_BYTES_MAX`].
    pub transactions: Vec<Transaction>,
    /// Sessions that ended: their lines in the request table go.
    pub ended_sessions: Vec<SessionId>,
    /// What the transactions tell to listeners, in order. At most [`NOTIFICATIONS_BYTES_MAX`].
    pub notifications: Vec<Notification>,
    /// After-values of the fingerprints of the tables touched, ascending by table. `TableId(0)` is the schema.
    pub fingerprints: Vec<(TableId, Fingerprint)>,
    /// How many chunks went ahead of this record.
    pub chunks: u64,
    /// The changes (or their end, after chunks).
    pub body: Bytes,
}

/// One client transaction within a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// By whom; kept in every replica, so that a retry is answered and not executed.
    pub request: RequestId,
    /// What its last statement answered.
    pub tag: CommandTag,
    /// What else it answered.
    pub result: KeptResult,
    /// When its client was to be answered.
    pub durability: Durability,
    /// How much of the record's body is its: the transactions' changes stand there one after the other.
    pub body_bytes: u64,
}

/// Frozen.
mod kind {
    pub const CHUNK: u8 = 1;
    pub const RECORD: u8 = 2;
    pub const VACUUM: u8 = 3;
    pub const CONFIGURE: u8 = 4;
}

/// The version of the envelope that this build writes, and the only one that it reads.
const VERSION: u8 = 4;

impl Transaction {
    /// Appends request, tag, result, durability, bytes.
    pub fn encode(&self, out: &mut Encoder) {
        out.u128(self.request.session.0);
        out.u64(self.request.sequence);
        self.tag.encode(out);
        self.result.encode(out);
        self.durability.encode(out);
        out.u64(self.body_bytes);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Transaction, DecodeError> {
        let session = SessionId(input.u128()?);
        let request = RequestId {
            session,
            sequence: input.u64()?,
        };
        Ok(Transaction {
            request,
            tag: CommandTag::decode(input)?,
            result: KeptResult::decode(input)?,
            durability: Durability::decode(input)?,
            body_bytes: input.u64()?,
        })
    }
}

impl Record {
    fn encode(&self, out: &mut Encoder) {
        self.position.encode(out);
        out.u64(self.origin.0);
        out.fixed_u64(self.timestamp.0);
        out.u8(self.format.number());
        out.u64(self.transactions.len() as u64);
        for transaction in &self.transactions {
            transaction.encode(out);
        }
        out.u64(self.ended_sessions.len() as u64);
        for session in &self.ended_sessions {
            out.u128(session.0);
        }
        out.u64(self.notifications.len() as u64);
        for notification in &self.notifications {
            notification.encode(out);
        }
        out.u64(self.fingerprints.len() as u64);
        for (table, fingerprint) in &self.fingerprints {
            out.u64(u64::from(table.0));
            fingerprint.encode(out);
        }
        out.u64(self.chunks);
        out.raw(&self.body);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Record, DecodeError> {
        let position = Position::decode(input)?;
        let origin = NodeId(input.u64()?);
        let timestamp = Timestamp(input.fixed_u64()?);
        let format = Format::from_number(input.u8()?)?;
        let transactions = (0..input.count()?)
            .map(|_| Transaction::decode(input))
            .collect::<Result<_, _>>()?;
        let ended_sessions = (0..input.count()?)
            .map(|_| input.u128().map(SessionId))
            .collect::<Result<_, _>>()?;
        let notifications = (0..input.count()?)
            .map(|_| Notification::decode(input))
            .collect::<Result<_, _>>()?;
        let fingerprints = (0..input.count()?)
            .map(|_| Ok((TableId(input.u32("table id")?), Fingerprint(input.u128()?))))
            .collect::<Result<_, DecodeError>>()?;
        let chunks = input.u64()?;
        let body = Bytes::copy_from_slice(input.rest());
        Ok(Record {
            position,
            origin,
            timestamp,
            format,
            transactions,
            ended_sessions,
            notifications,
            fingerprints,
            chunks,
            body,
        })
    }
}

impl Payload {
    /// When it was made; a chunk's is its record's.
    pub fn timestamp(&self) -> Option<Timestamp> {
        match self {
            Payload::Chunk { .. } => None,
            Payload::Record(record) => Some(record.timestamp),
            Payload::Vacuum { timestamp, .. } | Payload::Configure { timestamp, .. } => Some(*timestamp),
        }
    }

    /// Version, kind, content, CRC32C over all of it. The checksum travels with the record from the leader's
    /// memory to every follower's SQLite, whatever the log and the network check besides.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Encoder::new();
        out.u8(VERSION);
        match self {
            Payload::Chunk { sequence, body } => {
                out.u8(kind::CHUNK);
                out.u64(*sequence);
                out.raw(body);
            }
            Payload::Record(record) => {
                out.u8(kind::RECORD);
                record.encode(&mut out);
            }
            Payload::Vacuum {
                position,
                timestamp,
                origin,
                transaction,
            } => {
                out.u8(kind::VACUUM);
                position.encode(&mut out);
                out.fixed_u64(timestamp.0);
                out.u64(origin.0);
                transaction.encode(&mut out);
            }
            Payload::Configure {
                position,
                timestamp,
                origin,
                configuration,
            } => {
                out.u8(kind::CONFIGURE);
                position.encode(&mut out);
                out.fixed_u64(timestamp.0);
                out.u64(origin.0);
                configuration.encode(&mut out);
            }
        }
        let checksum = crc32c::crc32c(out.as_slice());
        out.fixed_u32(checksum);
        Bytes::from(out.into_vec())
    }

    /// The configuration that an entry's payload says, if it is a sound [`Payload::Configure`]; looks at two bytes of
    /// any other.
    pub fn configuration_in(bytes: &[u8]) -> Option<Configuration> {
        if !bytes.starts_with(&[VERSION, kind::CONFIGURE]) {
            return None;
        }
        match Payload::from_bytes(bytes) {
            Ok(Payload::Configure { configuration, .. }) => Some(configuration),
            _ => None,
        }
    }

    /// The format of an entry's payload, if it is a record; looks at its beginning only, and trusts it.
    pub fn format_in(bytes: &[u8]) -> Option<Format> {
        let content = bytes.strip_prefix(&[VERSION, kind::RECORD])?;
        let mut input = Decoder::new(content);
        Position::decode(&mut input).ok()?;
        input.u64().ok()?;
        input.fixed_u64().ok()?;
        Format::from_number(input.u8().ok()?).ok()
    }

    /// Reads and checks what `to_bytes` wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Payload, DecodeError> {
        let content_len = bytes.len().checked_sub(4).ok_or(DecodeError::Truncated)?;
        let (content, checksum) = bytes.split_at(content_len);
        if Decoder::new(checksum).fixed_u32()? != crc32c::crc32c(content) {
            return Err(DecodeError::Checksum);
        }
        let mut input = Decoder::new(content);
        let version = input.u8()?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion {
                what: "record",
                version: u64::from(version),
            });
        }
        match input.u8()? {
            kind::CHUNK => {
                let sequence = input.u64()?;
                Ok(Payload::Chunk {
                    sequence,
                    body: Bytes::copy_from_slice(input.rest()),
                })
            }
            kind::RECORD => Ok(Payload::Record(Box::new(Record::decode(&mut input)?))),
            kind::VACUUM => {
                let position = Position::decode(&mut input)?;
                let timestamp = Timestamp(input.fixed_u64()?);
                let origin = NodeId(input.u64()?);
                let transaction = Transaction::decode(&mut input)?;
                input.finish()?;
                Ok(Payload::Vacuum {
                    position,
                    timestamp,
                    origin,
                    transaction,
                })
            }
            kind::CONFIGURE => {
                let position = Position::decode(&mut input)?;
                let timestamp = Timestamp(input.fixed_u64()?);
                let origin = NodeId(input.u64()?);
                let configuration = Configuration::decode(&mut input)?;
                input.finish()?;
                if configuration.voters.is_empty() {
                    return Err(DecodeError::OutOfRange {
                        what: "number of voters",
                        value: 0,
                    });
                }
                Ok(Payload::Configure {
                    position,
                    timestamp,
                    origin,
                    configuration,
                })
            }
            other => Err(DecodeError::UnknownTag {
                what: "payload",
                tag: u64::from(other),
            }),
        }
    }
}
