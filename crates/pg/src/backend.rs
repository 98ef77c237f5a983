//! What the server sends: messages appended to one buffer, which the driver writes with one call per batch.

use bellwether_types::{CommandTag, Notification, SqlError};

use crate::frontend::CancelKey;
use crate::row::{Field, Formats};
use crate::sqlstate::sqlstate;
use crate::types::{Format, Oid};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Notice,
    /// Something was not as the client seems to think.
    Warning,
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// What the server asks of a client, or tells it, before it is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Welcome.
    Ok,
    /// The password in clear: over TLS only.
    CleartextPassword,
    /// One of these mechanisms, the best first.
    Sasl(Vec<String>),
    /// The mechanism's next message.
    SaslContinue(Vec<u8>),
    /// The mechanism's last message.
    SaslFinal(Vec<u8>),
}

/// Whether a transaction is open, as ReadyForQuery tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// None is.
    Idle,
    /// One is.
    Transaction,
    /// One is, and has failed.
    Failed,
}

/// Messages ready to be sent.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
}

impl Output {
    /// The bytes to send.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was sent; keeps a moderate allocation.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(256 * 1024);
    }

    /// Where rows are encoded to.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends whole messages that were encoded elsewhere.
    pub fn append(&mut self, messages: &[u8]) {
        self.bytes.extend_from_slice(messages);
    }

    /// The one byte that answers an SSL or GSS request: no.
    pub fn refuse_encryption(&mut self) {
        self.bytes.push(b'N');
    }

    /// The one byte that answers an SSL request: yes, begin.
    pub fn agree_to_encryption(&mut self) {
        self.bytes.push(b'S');
    }

    /// A step of letting in.
    pub fn authentication(&mut self, step: &Authentication) {
        self.message(b'R', |out| match step {
            Authentication::Ok => out.u32(0),
            Authentication::CleartextPassword => out.u32(3),
            Authentication::Sasl(mechanisms) => {
                out.u32(10);
                mechanisms.iter().for_each(|mechanism| out.str(mechanism));
                out.bytes.push(0);
            }
            Authentication::SaslContinue(data) => {
                out.u32(11);
                out.append(data);
            }
            Authentication::SaslFinal(data) => {
                out.u32(12);
                out.append(data);
            }
        });
    }

    /// The newest minor version of protocol 3 that is spoken, and the options that are not known.
    pub fn negotiate_protocol_version(&mut self, minor: u16, unknown_options: &[&str]) {
        self.message(b'v', |out| {
            out.u32(u32::from(minor));
            out.u32(unknown_options.len() as u32);
            unknown_options.iter().for_each(|option| out.str(option));
        });
    }

    /// A setting's value.
    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            out.str(name);
            out.str(value);
        });
    }

    /// What this connection's client needs to cancel.
    pub fn backend_key_data(&mut self, key: CancelKey) {
        self.message(b'K', |out| {
            out.u32(key.pid as u32);
            out.u32(key.secret as u32);
        });
    }

    /// The server waits.
    pub fn ready_for_query(&mut self, status: Status) {
        self.message(b'Z', |out| {
            out.bytes.push(match status {
                Status::Idle => b'I',
                Status::Transaction => b'T',
                Status::Failed => b'E',
            });
        });
    }

    /// The columns of the rows that follow, or would.
    pub fn row_description(&mut self, fields: &[Field], formats: &Formats) {
        self.message(b'T', |out| {
            out.u16(fields.len() as u16);
            for (index, field) in fields.iter().enumerate() {
                out.str(&field.name);
                out.u32(field.table_oid);
                out.u16(field.column_number as u16);
                out.u32(field.type_.type_.oid().0);
                out.u16(field.type_.type_.size_bytes() as u16);
                out.u32(field.type_.modifier as u32);
                out.u16(formats.of(index).code() as u16);
            }
        });
    }

    /// The types of a statement's parameters.
    pub fn parameter_description(&mut self, types: &[Oid]) {
        self.message(b't', |out| {
            out.u16(types.len() as u16);
            types.iter().for_each(|oid| out.u32(oid.0));
        });
    }

    /// A statement or portal without rows.
    pub fn no_data(&mut self) {
        self.message(b'n', |_| {});
    }

    /// Rows are wanted, of so many columns, all in one format.
    pub fn copy_in_response(&mut self, format: Format, columns: usize) {
        self.copy_response(b'G', format, columns);
    }

    /// Rows follow, of so many columns, all in one format.
    pub fn copy_out_response(&mut self, format: Format, columns: usize) {
        self.copy_response(b'H', format, columns);
    }

    fn copy_response(&mut self, tag: u8, format: Format, columns: usize) {
        self.message(tag, |out| {
            out.bytes.push(format.code() as u8);
            out.u16(columns as u16);
            (0..columns).for_each(|_| out.u16(format.code() as u16));
        });
    }

    /// There are no more rows.
    pub fn copy_done(&mut self) {
        self.message(b'c', |_| {});
    }

    /// A statement is done.
    pub fn command_complete(&mut self, tag: &CommandTag) {
        self.message(b'C', |out| out.str(&tag.to_string()));
    }

    /// A statement of nothing is done.
    pub fn empty_query(&mut self) {
        self.message(b'I', |_| {});
    }

    /// A statement is prepared.
    pub fn parse_complete(&mut self) {
        self.message(b'1', |_| {});
    }

    /// A portal is made.
    pub fn bind_complete(&mut self) {
        self.message(b'2', |_| {});
    }

    /// A statement or portal is forgotten, if it was there.
    pub fn close_complete(&mut self) {
        self.message(b'3', |_| {});
    }

    /// The row limit was reached.
    pub fn portal_suspended(&mut self) {
        self.message(b's', |_| {});
    }

    /// What the client listens to.
    pub fn notification(&mut self, notification: &Notification) {
        self.message(b'A', |out| {
            out.bytes.extend(notification.sender.to_be_bytes());
            out.str(&notification.channel);
            out.str(&notification.payload);
        });
    }

    /// A failure.
    pub fn error(&mut self, severity: Severity, error: &SqlError) {
        self.message(b'E', |out| out.report(severity, sqlstate(error.kind), error));
    }

    /// A notice or warning; its code is not an error's.
    pub fn notice(&mut self, severity: Severity, code: &str, notice: &SqlError) {
        self.message(b'N', |out| out.report(severity, code, notice));
    }

    fn report(&mut self, severity: Severity, code: &str, error: &SqlError) {
        let mut field = |kind: u8, text: &str| {
            self.bytes.push(kind);
            self.str(text);
        };
        field(b'S', severity.name());
        field(b'V', severity.name());
        field(b'C', code);
        field(b'M', &error.message);
        let position = error.position.map(|position| position.to_string());
        for (kind, text) in [
            (b'D', &error.detail),
            (b'H', &error.hint),
            (b'P', &position),
            (b's', &error.table.as_ref().map(|_| "public".to_owned())),
            (b't', &error.table),
            (b'c', &error.column),
            (b'n', &error.constraint),
        ] {
            if let Some(text) = text {
                field(kind, text);
            }
        }
        self.bytes.push(0);
    }

    fn message(&mut self, tag: u8, content: impl FnOnce(&mut Output)) {
        self.bytes.push(tag);
        let start = self.bytes.len();
        self.u32(0);
        content(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn u16(&mut self, number: u16) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    /// Ended by a zero byte; one inside would end it early, so it is sent as a blank.
    fn str(&mut self, text: &str) {
        let bytes = text.bytes().map(|byte| if byte == 0 { b' ' } else { byte });
        self.bytes.extend(bytes);
        self.bytes.push(0);
    }
}
