//! Digests and spellings of bytes.

use bellwether_types::{SqlError, Value, ValueRef};
use md5::{Digest, Md5};

use super::{Answer, Args, as_text, invalid, strict, text_value};
use crate::types::parameter::print_uuid;

fn bytes<'v>(value: &ValueRef<'v>) -> Result<std::borrow::Cow<'v, [u8]>, SqlError> {
    match *value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Ok(bytes.into()),
        _ => Ok(as_text(value)?.into_owned().into_bytes().into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn md5(args: Args<'_, '_>) -> Answer {
    strict(args, || Ok(Value::Text(hex(&Md5::digest(bytes(&args[0])?)))))
}

fn unknown_format(name: &str) -> SqlError {
    invalid(format!("unrecognized encoding: \"{name}\"")).with_hint("Encodings are hex, base64 and escape.")
}

pub(super) fn encode(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let bytes = bytes(&args[0])?;
        let format = as_text(&args[1])?.to_ascii_lowercase();
        text_value(match format.as_str() {
            "hex" => hex(&bytes),
            "base64" => base64(&bytes),
            "escape" => escaped(&bytes),
            other => return Err(unknown_format(other)),
        })
    })
}

pub(super) fn decode(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let text = as_text(&args[0])?;
        let format = as_text(&args[1])?.to_ascii_lowercase();
        let decoded = match format.as_str() {
            "hex" => {
                let digits: String = text
                    .chars()
                    .filter(|character| !character.is_whitespace())
                    .collect();
                super::cast::bytea(&[ValueRef::Text(format!("\\x{digits}").as_bytes())])?
            }
            "base64" => {
                Value::Blob(from_base64(&text).ok_or_else(|| invalid("invalid base64 end sequence"))?)
            }
            "escape" => super::cast::bytea(&[ValueRef::Text(text.as_bytes())])?,
            other => return Err(unknown_format(other)),
        };
        Ok(decoded)
    })
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0 | 0x80.. => out.push_str(&format!("\\{byte:03o}")),
            other => out.push(char::from(other)),
        }
    }
    out
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With a newline after 76 characters, as PostgreSQL's.
fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (number, chunk) in bytes.chunks(3).enumerate() {
        if number > 0 && number % 19 == 0 {
            out.push('\n');
        }
        let group = chunk
            .iter()
            .fold(0u32, |group, &byte| group << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place) & 63) as usize;
            out.push(if place <= chunk.len() {
                char::from(BASE64[digit])
            } else {
                '='
            });
        }
    }
    out
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut group, mut digits, mut padding) = (0u32, 0, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            b'=' => {
                padding += 1;
                0
            }
            _ if padding > 0 => return None,
            _ => BASE64.iter().position(|&known| known == byte)?,
        };
        group = group << 6 | digit as u32;
        digits += 1;
        if digits == 4 {
            let [_, bytes @ ..] = group.to_be_bytes();
            out.extend_from_slice(bytes.get(..3usize.checked_sub(padding)?)?);
            (group, digits) = (0, 0);
        }
    }
    (digits == 0 && padding < 3).then_some(out)
}

/// A random UUID (version 4) of 16 random bytes, which come from the caller.
pub(super) fn uuid_from_random(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let mut uuid: [u8; 16] = match args[0] {
            ValueRef::Blob(bytes) => bytes.try_into().map_err(|_| invalid("16 bytes make a uuid"))?,
            _ => return Err(invalid("16 bytes make a uuid")),
        };
        uuid[6] = uuid[6] & 0x0F | 0x40;
        uuid[8] = uuid[8] & 0x3F | 0x80;
        Ok(Value::Text(print_uuid(uuid)))
    })
}
