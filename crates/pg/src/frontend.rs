//! What clients send: bytes into enums. Framing is `input`'s; here a whole message is at hand.
//!
//! Strings and values borrow from the message. No input panics; nothing is reserved that the message's own
//! length does not back.

use std::fmt;

use bellwether_types::{ErrorKind, SqlError};

use crate::types::Oid;

/// The first message of a connection, and what may come before it. No tag, told apart by a version number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening<'a> {
    /// May we speak TLS?
    SslRequest,
    /// May we speak GSSAPI?
    GssRequest,
    /// Stop what another connection is running.
    Cancel(CancelKey),
    /// Who, where to, and options.
    Startup {
        /// Minor version of protocol 3 that the client would like.
        minor: u16,
        /// Names and values in the order sent.
        parameters: Vec<(&'a str, &'a str)>,
    },
}

/// Names a connection to cancel: what BackendKeyData told its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelKey {
    /// The connection.
    pub pid: i32,
    /// The proof that the client may.
    pub secret: i32,
}

/// A statement or a portal, by name; the empty name is the unnamed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A prepared statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

/// A message of an open connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frontend<'a> {
    /// Password, SASLInitialResponse, SASLResponse, GSSResponse: one tag, told apart by what was asked.
    Password(&'a [u8]),
    /// Statements to run now.
    Query {
        /// Any number of statements.
        sql: &'a str,
    },
    /// Prepare a statement.
    Parse {
        /// Its name; an unnamed one may be replaced.
        name: &'a str,
        /// One statement.
        sql: &'a str,
        /// Types of the first parameters; 0 leaves the type to the server.
        types: Vec<Oid>,
    },
    /// Make a portal of a statement.
    Bind(Bind<'a>),
    /// Tell the types.
    Describe(Target<'a>),
    /// Run a portal.
    Execute {
        /// Which.
        portal: &'a str,
        /// Stop after so many rows; 0 or less: never.
        max_rows: i32,
    },
    /// Forget.
    Close(Target<'a>),
    /// Send what is ready.
    Flush,
    /// End of a pipeline: commit what is implicit, send everything.
    Sync,
    /// Good-bye.
    Terminate,
    /// A piece of COPY's data.
    CopyData(&'a [u8]),
    /// The data's end.
    CopyDone,
    /// The client gives up its COPY.
    CopyFail(&'a str),
    /// Call a function by oid: a relic that is refused.
    FunctionCall,
}

/// Parameters for a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal to make.
    pub portal: &'a str,
    /// The statement it is of.
    pub statement: &'a str,
    /// None: all text; one: for all; else one each.
    pub parameter_formats: Vec<i16>,
    /// `None` is NULL.
    pub parameters: Vec<Option<&'a [u8]>>,
    /// As for parameters, by result column.
    pub result_formats: Vec<i16>,
}

/// Tags of [`Frontend`].
pub mod tag {
    #![allow(missing_docs, reason = "named as the messages they open")]
    pub const PASSWORD: u8 = b'p';
    pub const QUERY: u8 = b'Q';
    pub const PARSE: u8 = b'P';
    pub const BIND: u8 = b'B';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const CLOSE: u8 = b'C';
    pub const FLUSH: u8 = b'H';
    pub const SYNC: u8 = b'S';
    pub const TERMINATE: u8 = b'X';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const FUNCTION_CALL: u8 = b'F';
}

/// Why a message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontendError {
    /// A tag of no message.
    UnknownTag(u8),
    /// A length below what every message has, or above the limit.
    Length {
        /// What the client said.
        bytes: i64,
        /// The most that is taken.
        limit: usize,
    },
    /// A protocol other than 3.
    Version {
        /// Major.
        major: u16,
        /// Minor.
        minor: u16,
    },
    /// The message ends before its content does.
    Truncated,
    /// Bytes are left after the content.
    Trailing,
    /// Neither `S` nor `P` where a statement or portal is named.
    UnknownTarget(u8),
    /// Text that is not UTF-8.
    NotUtf8,
}

impl FrontendError {
    /// Whether the stream is out of step: nothing after it can be understood.
    pub fn is_fatal(&self) -> bool {
        match self {
            FrontendError::UnknownTag(_) | FrontendError::Length { .. } | FrontendError::Version { .. } => {
                true
            }
            FrontendError::Truncated
            | FrontendError::Trailing
            | FrontendError::UnknownTarget(_)
            | FrontendError::NotUtf8 => false,
        }
    }
}

impl fmt::Display for FrontendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontendError::UnknownTag(tag) => write!(f, "invalid frontend message type {tag}"),
            FrontendError::Length { bytes, limit } => {
                write!(f, "invalid message length {bytes}: the limit is {limit} bytes")
            }
            FrontendError::Version { major, minor } => {
                write!(
                    f,
                    "unsupported frontend protocol {major}.{minor}: server supports 3.0"
                )
            }
            FrontendError::Truncated => write!(f, "insufficient data left in message"),
            FrontendError::Trailing => write!(f, "invalid message format: bytes are left after its content"),
            FrontendError::UnknownTarget(byte) => write!(f, "invalid message subtype {byte}"),
            FrontendError::NotUtf8 => write!(f, "invalid byte sequence for encoding \"UTF8\""),
        }
    }
}

impl std::error::Error for FrontendError {}

impl From<FrontendError> for SqlError {
    fn from(error: FrontendError) -> SqlError {
        let kind = match error {
            FrontendError::NotUtf8 => ErrorKind::NotUtf8,
            FrontendError::Version { .. } => ErrorKind::NotSupported,
            _ => ErrorKind::Protocol,
        };
        SqlError::new(kind, error.to_string())
    }
}

const SSL_REQUEST: (u16, u16) = (1234, 5679);
const GSS_REQUEST: (u16, u16) = (1234, 5680);
const CANCEL_REQUEST: (u16, u16) = (1234, 5678);

impl<'a> Opening<'a> {
    /// Reads what follows the length.
    pub fn decode(body: &'a [u8]) -> Result<Opening<'a>, FrontendError> {
        let mut body = Body(body);
        let version = (body.u16()?, body.u16()?);
        let opening = match version {
            SSL_REQUEST => Opening::SslRequest,
            GSS_REQUEST => Opening::GssRequest,
            CANCEL_REQUEST => Opening::Cancel(CancelKey {
                pid: body.i32()?,
                secret: body.i32()?,
            }),
            (3, minor) => Opening::Startup {
                minor,
                parameters: body.parameters()?,
            },
            (major, minor) => return Err(FrontendError::Version { major, minor }),
        };
        body.finish()?;
        Ok(opening)
    }
}

impl<'a> Frontend<'a> {
    /// Reads what follows tag and length.
    pub fn decode(tag: u8, body: &'a [u8]) -> Result<Frontend<'a>, FrontendError> {
        let mut body = Body(body);
        let message = match tag {
            tag::PASSWORD => Frontend::Password(body.rest()),
            tag::QUERY => Frontend::Query { sql: body.str()? },
            tag::PARSE => {
                let (name, sql) = (body.str()?, body.str()?);
                Frontend::Parse {
                    name,
                    sql,
                    types: body.list(4, |body| Ok(Oid(body.u32()?)))?,
                }
            }
            tag::BIND => Frontend::Bind(Bind {
                portal: body.str()?,
                statement: body.str()?,
                parameter_formats: body.list(2, Body::i16)?,
                parameters: body.list(4, Body::value)?,
                result_formats: body.list(2, Body::i16)?,
            }),
            tag::DESCRIBE => Frontend::Describe(body.target()?),
            tag::EXECUTE => Frontend::Execute {
                portal: body.str()?,
                max_rows: body.i32()?,
            },
            tag::CLOSE => Frontend::Close(body.target()?),
            tag::FLUSH => Frontend::Flush,
            tag::SYNC => Frontend::Sync,
            tag::TERMINATE => Frontend::Terminate,
            tag::COPY_DATA => Frontend::CopyData(body.rest()),
            tag::COPY_DONE => Frontend::CopyDone,
            tag::COPY_FAIL => Frontend::CopyFail(body.str()?),
            tag::FUNCTION_CALL => {
                body.rest();
                Frontend::FunctionCall
            }
            other => return Err(FrontendError::UnknownTag(other)),
        };
        body.finish()?;
        Ok(message)
    }
}

/// What is left of a message. Numbers are big-endian.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn raw(&mut self, len: usize) -> Result<&'a [u8], FrontendError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(FrontendError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrontendError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(FrontendError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, FrontendError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn i16(&mut self) -> Result<i16, FrontendError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, FrontendError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, FrontendError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Up to a zero byte, which is taken too.
    fn str(&mut self) -> Result<&'a str, FrontendError> {
        let len = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(FrontendError::Truncated)?;
        let text = self.raw(len + 1)?;
        std::str::from_utf8(&text[..len]).map_err(|_| FrontendError::NotUtf8)
    }

    /// A 16-bit count and so many items of at least `item_bytes` each.
    fn list<T>(
        &mut self,
        item_bytes: usize,
        read: impl Fn(&mut Body<'a>) -> Result<T, FrontendError>,
    ) -> Result<Vec<T>, FrontendError> {
        let count = usize::from(self.u16()?);
        if count * item_bytes > self.0.len() {
            return Err(FrontendError::Truncated);
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// A length and so many bytes; a negative length is NULL.
    fn value(&mut self) -> Result<Option<&'a [u8]>, FrontendError> {
        match usize::try_from(self.i32()?) {
            Ok(len) => Ok(Some(self.raw(len)?)),
            Err(_) => Ok(None),
        }
    }

    fn target(&mut self) -> Result<Target<'a>, FrontendError> {
        let [kind] = self.array()?;
        let name = self.str()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            other => Err(FrontendError::UnknownTarget(other)),
        }
    }

    /// Pairs of strings, ended by an empty name.
    fn parameters(&mut self) -> Result<Vec<(&'a str, &'a str)>, FrontendError> {
        let mut parameters = Vec::new();
        loop {
            let name = self.str()?;
            if name.is_empty() {
                return Ok(parameters);
            }
            parameters.push((name, self.str()?));
        }
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn finish(self) -> Result<(), FrontendError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(FrontendError::Trailing)
        }
    }
}
