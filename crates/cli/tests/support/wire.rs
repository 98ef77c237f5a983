//! PostgreSQL's protocol byte by byte, for what no well-behaved client would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;

/// A connection.
pub struct Wire {
    stream: TcpStream,
}

/// A message of the server: its tag and what follows the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Message {
    /// SQLSTATE and message of an ErrorResponse.
    #[track_caller]
    pub fn error(&self) -> (String, String) {
        assert_eq!(self.tag, b'E', "expected an error, not {self:?}");
        (self.field(b'C'), self.field(b'M'))
    }

    /// A field of an ErrorResponse; empty when absent.
    pub fn field(&self, code: u8) -> String {
        let fields = self.body.split(|&byte| byte == 0);
        let found = fields.filter_map(|field| field.split_first());
        found
            .filter(|(first, _)| **first == code)
            .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
            .next()
            .unwrap_or_default()
    }
}

impl Wire {
    /// Connects, and says nothing yet.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_nodelay(true).expect("a socket's option");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket's option");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a socket's option");
        Wire { stream }
    }

    /// Connects and is let in.
    #[track_caller]
    pub fn log_in(address: SocketAddr) -> Wire {
        let mut wire = Wire::connect(address);
        wire.send(&startup(&[("user", "postgres"), ("database", "postgres")]));
        wire.wait_for(b'Z');
        wire
    }

    /// Whether a node lets clients in by now.
    pub fn is_let_in(address: SocketAddr) -> bool {
        let mut wire = Wire::connect(address);
        wire.send(&startup(&[("user", "postgres"), ("database", "postgres")]));
        let is_in = wire.next().is_some_and(|message| message.tag == b'R');
        wire.send(&message(b'X', &[]));
        is_in
    }

    /// Sends bytes as they are. A server that has hung up is no failure here: what it said last counts.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// Whether the server has hung up, as far as is known by now. What it has said before counts as open.
    pub fn is_closed(&self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket's option");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("a socket's option");
        match peeked {
            Ok(read) => read == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// The next message; `None` when the server has hung up.
    #[track_caller]
    pub fn next(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        if !self.fill(&mut head) {
            return None;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length.checked_sub(4).expect("a length counts itself")];
        self.fill(&mut body).then_some(Message { tag: head[0], body })
    }

    /// Skips to a message of that tag.
    #[track_caller]
    pub fn wait_for(&mut self, tag: u8) -> Message {
        loop {
            match self.next() {
                Some(message) if message.tag == tag => return message,
                Some(_) => {}
                None => panic!("the server hung up before a message {:?}", char::from(tag)),
            }
        }
    }

    /// The rest up to the server's hanging up.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// A simple query that works.
    #[track_caller]
    pub fn query(&mut self, sql: &str) {
        self.send(&message(b'Q', &text(sql)));
        loop {
            match self.next() {
                Some(message) if message.tag == b'E' => panic!("{sql}: {:?}", message.error()),
                Some(message) if message.tag == b'Z' => return,
                Some(_) => {}
                None => panic!("{sql}: the server hung up"),
            }
        }
    }

    /// Bytes as they come, until the server hangs up.
    pub fn raw_rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset after the last word is a hanging up like another.
        self.stream.read_to_end(&mut bytes).ok();
        bytes
    }

    /// False at the end.
    #[track_caller]
    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                false
            }
            Err(error) => panic!("the server said nothing: {error}"),
        }
    }
}

/// A message with its length.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A string with its zero.
pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// The first message, of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::from(196_608_u32.to_be_bytes());
    for (name, value) in parameters {
        body.extend(text(name));
        body.extend(text(value));
    }
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}
