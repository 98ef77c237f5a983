//! The server's bytes as lines of text.

use bellwether_session::Token;
use bellwether_types::ClusterId;
use bytes::BytesMut;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, ProtocolVersion};

/// One line per message, `< ` before each. Panics when the bytes are not whole messages.
pub fn print(mut bytes: &[u8]) -> String {
    let mut lines = String::new();
    if !matches!(bytes, b"N" | b"S") {
        cross_check(bytes);
    }
    while let Some((&tag, rest)) = bytes.split_first() {
        // The two answers without a length.
        if tag == b'N' && rest.is_empty() {
            lines += "< no encryption\n";
            return lines;
        }
        if tag == b'S' && rest.is_empty() {
            lines += "< encryption\n";
            return lines;
        }
        let (length, _) = rest.split_first_chunk::<4>().expect("a length");
        let length = u32::from_be_bytes(*length) as usize;
        let (message, rest) = rest.split_at(length);
        lines += &format!("< {}\n", Body(&message[4..]).print(tag));
        bytes = rest;
    }
    lines
}

/// A decoder by other people reads the same bytes, to the last.
fn cross_check(bytes: &[u8]) {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    let mut rest = BytesMut::from(bytes);
    while !rest.is_empty() {
        let before = rest.len();
        let message = PgWireBackendMessage::decode(&mut rest, &context)
            .expect("well formed")
            .expect("whole");
        let mut again = BytesMut::new();
        message.encode(&mut again).expect("encodable");
        assert_eq!(
            again,
            bytes[bytes.len() - before..bytes.len() - rest.len()],
            "{message:?}"
        );
    }
}

/// Databases and positions.
fn print_token(text: &str) -> String {
    let token = Token::parse(text, ClusterId(1)).expect("a token of this cluster");
    let positions = token.positions.iter();
    let texts =
        positions.map(|(database, position)| format!("{database}@{}.{}", position.term, position.index));
    texts.collect::<Vec<_>>().join(" ")
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn raw(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        head
    }

    fn number(&mut self, len: usize) -> i64 {
        let unsigned = self
            .raw(len)
            .iter()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let unused_bits = 64 - 8 * len as u32;
        ((unsigned << unused_bits) as i64) >> unused_bits
    }

    fn str(&mut self) -> String {
        let len = self.0.iter().position(|byte| *byte == 0).expect("a zero byte");
        let text = String::from_utf8(self.raw(len).to_vec()).expect("UTF-8");
        self.raw(1);
        text
    }

    fn print(mut self, tag: u8) -> String {
        let text = match tag {
            b'R' => match self.number(4) {
                0 => "AuthenticationOk".to_owned(),
                3 => "AuthenticationCleartextPassword".to_owned(),
                other => format!("Authentication {other}"),
            },
            b'S' => match (self.str(), self.str()) {
                (name, token) if name == "bellwether.session_token" => {
                    format!("token {}", print_token(&token))
                }
                (name, value) => format!("ParameterStatus {name} = {value}"),
            },
            b'K' => format!("BackendKeyData {}/{}", self.number(4), self.number(4)),
            b'Z' => format!("ReadyForQuery {}", char::from(self.raw(1)[0])),
            b'C' => format!("CommandComplete {}", self.str()),
            b'I' => "EmptyQueryResponse".to_owned(),
            b'1' => "ParseComplete".to_owned(),
            b'2' => "BindComplete".to_owned(),
            b'3' => "CloseComplete".to_owned(),
            b'n' => "NoData".to_owned(),
            b's' => "PortalSuspended".to_owned(),
            b't' => {
                let count = self.number(2);
                let oids: Vec<_> = (0..count).map(|_| self.number(4).to_string()).collect();
                format!("ParameterDescription {}", oids.join(" "))
            }
            b'G' | b'H' => {
                let which = if tag == b'G' { "In" } else { "Out" };
                let (format, count) = (self.number(1), self.number(2));
                let formats: Vec<_> = (0..count).map(|_| self.number(2).to_string()).collect();
                format!("Copy{which}Response {format}: {}", formats.join(" "))
            }
            b'd' => {
                let content = self.raw(self.0.len());
                format!("CopyData {:?}", String::from_utf8_lossy(content))
            }
            b'c' => "CopyDone".to_owned(),
            b'T' => self.columns(),
            b'D' => self.row(),
            b'v' => {
                let (minor, count) = (self.number(4), self.number(4));
                let options: Vec<_> = (0..count).map(|_| self.str()).collect();
                format!("NegotiateProtocolVersion 3.{minor} {}", options.join(" "))
                    .trim_end()
                    .to_owned()
            }
            b'E' | b'N' => self.report(if tag == b'E' {
                "ErrorResponse"
            } else {
                "NoticeResponse"
            }),
            other => panic!("no message has tag {:?}", char::from(other)),
        };
        assert!(self.0.is_empty(), "bytes are left after {text}");
        text
    }

    fn columns(&mut self) -> String {
        let count = self.number(2);
        let columns = (0..count).map(|_| {
            let name = self.str();
            let (_table, _column, oid, _size) =
                (self.number(4), self.number(2), self.number(4), self.number(2));
            let (modifier, format) = (self.number(4), self.number(2));
            let modifier = if modifier == -1 {
                String::new()
            } else {
                format!("({modifier})")
            };
            format!("{name}:{oid}{modifier}{}", if format == 1 { "b" } else { "" })
        });
        format!("RowDescription {}", columns.collect::<Vec<_>>().join(" "))
    }

    fn row(&mut self) -> String {
        let count = self.number(2);
        let values = (0..count).map(|_| match self.number(4) {
            -1 => "NULL".to_owned(),
            len => match std::str::from_utf8(self.raw(len as usize)) {
                Ok(text) if !text.contains('\0') => text.to_owned(),
                Ok(text) => format!("{:x?}", text.as_bytes()),
                Err(_) => "bytes".to_owned(),
            },
        });
        format!("DataRow {}", values.collect::<Vec<_>>().join(" | "))
    }

    fn report(&mut self, name: &str) -> String {
        let mut text = name.to_owned();
        loop {
            let kind = self.raw(1)[0];
            if kind == 0 {
                return text;
            }
            let value = self.str();
            match kind {
                b'S' => {}
                b'V' | b'C' => text += &format!(" {value}"),
                b'M' => text += &format!(": {value}"),
                other => text += &format!(" [{} {value}]", char::from(other)),
            }
        }
    }
}
