//! The one codec of log and peers: varints, zigzag, fixed words, length-prefixed bytes. Little-endian.
//!
//! Not self-describing: each record's file holds its `encode` and `decode` side by side and its frozen tags.

use std::fmt;

/// Appends to a byte vector.
#[derive(Debug, Default, Clone)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Empty.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// The bytes written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was written from `len` on: how a savepoint's changes are taken back.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Puts another byte in the place of one that was written.
    pub fn replace(&mut self, place: usize, byte: u8) {
        self.bytes[place] = byte;
    }

    /// Forgets everything, keeps the allocation.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// LEB128: seven bits a byte, least significant first; 1 to 10 bytes.
    pub fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zigzag, then LEB128: small magnitudes are short.
    pub fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)) as u64);
    }

    /// 4 bytes.
    pub fn fixed_u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// 8 bytes.
    pub fn fixed_u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// 16 bytes.
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Length, then content.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Content alone: the reader knows its length.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// As bytes.
    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Presence byte, then the value.
    pub fn option<T>(&mut self, value: Option<T>, encode: impl FnOnce(&mut Encoder, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            encode(self, value);
        }
    }
}

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ends before the value does.
    Truncated,
    /// A varint of more than 64 bits.
    Overflow,
    /// A tag that this version does not know.
    UnknownTag {
        /// Of what.
        what: &'static str,
        /// The tag read.
        tag: u64,
    },
    /// A format version that this build cannot read.
    UnknownVersion {
        /// Of what.
        what: &'static str,
        /// The version read.
        version: u64,
    },
    /// Text that is not UTF-8.
    NotUtf8,
    /// The checksum over the bytes is another than the one written with them.
    Checksum,
    /// Bytes are left after the value.
    Trailing,
    /// A number outside its documented range.
    OutOfRange {
        /// Of what.
        what: &'static str,
        /// The number read.
        value: u64,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => write!(f, "the bytes end before the value does"),
            DecodeError::Overflow => write!(f, "a number has more than 64 bits"),
            DecodeError::UnknownTag { what, tag } => write!(f, "unknown {what} tag {tag}"),
            DecodeError::UnknownVersion { what, version } => {
                write!(f, "{what} has version {version}, which this build cannot read")
            }
            DecodeError::NotUtf8 => write!(f, "text is not UTF-8"),
            DecodeError::Checksum => write!(f, "checksum mismatch"),
            DecodeError::Trailing => write!(f, "bytes are left after the value"),
            DecodeError::OutOfRange { what, value } => write!(f, "{what} {value} is out of range"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads from a slice, front to back.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Over all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Errors unless everything was read.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }

    /// The next `len` bytes.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.raw(1)?[0])
    }

    /// 0 or 1; anything else is an unknown tag.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::UnknownTag {
                what: "flag",
                tag: u64::from(other),
            }),
        }
    }

    /// LEB128.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Overflow);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Overflow)
    }

    /// LEB128 that must fit 32 bits.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let value = self.u64()?;
        u32::try_from(value).map_err(|_| DecodeError::OutOfRange { what, value })
    }

    /// Zigzag.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        let value = self.u64()?;
        Ok(((value >> 1) as i64) ^ -((value & 1) as i64))
    }

    /// 4 bytes.
    pub fn fixed_u32(&mut self) -> Result<u32, DecodeError> {
        let bytes: [u8; 4] = self.raw(4)?.try_into().expect("raw(4) answers 4 bytes");
        Ok(u32::from_le_bytes(bytes))
    }

    /// 8 bytes.
    pub fn fixed_u64(&mut self) -> Result<u64, DecodeError> {
        let bytes: [u8; 8] = self.raw(8)?.try_into().expect("raw(8) answers 8 bytes");
        Ok(u64::from_le_bytes(bytes))
    }

    /// 16 bytes.
    pub fn u128(&mut self) -> Result<u128, DecodeError> {
        let bytes: [u8; 16] = self.raw(16)?.try_into().expect("raw(16) answers 16 bytes");
        Ok(u128::from_le_bytes(bytes))
    }

    /// Length, then content.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u64()?;
        self.raw(usize::try_from(len).map_err(|_| DecodeError::Truncated)?)
    }

    /// As bytes, UTF-8.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::NotUtf8)
    }

    /// A count of items that each take at least one byte: never more than the bytes left, so that it is safe
    /// to reserve for.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.u64()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// Presence byte, then the value.
    pub fn option<T>(
        &mut self,
        decode: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? {
            decode(self).map(Some)
        } else {
            Ok(None)
        }
    }
}
