//! A node's peer byte by byte, for what no node would say.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use bellwether_types::NodeId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::PATIENCE;

/// As peers frame what they say: length, CRC32C, content.
pub fn frame(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_le_bytes();
    [&length[..], &crc32c::crc32c(content).to_le_bytes(), content].concat()
}

/// What opens a peer's connection, for consensus messages; numbers below 128 are one byte.
fn hello(cluster: u128, from: NodeId, to: NodeId) -> Vec<u8> {
    let mut bytes = Vec::from(0x3150_5742_u32.to_le_bytes());
    bytes.push(5);
    bytes.extend(cluster.to_le_bytes());
    bytes.extend([from.0 as u8, to.0 as u8, 1, 32]);
    bytes.extend([7; 32]);
    bytes
}

/// A connection that has said hello and was challenged.
pub struct Peer {
    stream: TcpStream,
    hello: Vec<u8>,
    nonce: Vec<u8>,
}

impl Peer {
    /// Connects and says who it is.
    #[track_caller]
    pub fn connect(address: SocketAddr, cluster: u128, from: NodeId, to: NodeId) -> Peer {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket's option");
        let mut peer = Peer {
            stream,
            hello: hello(cluster, from, to),
            nonce: Vec::new(),
        };
        let hello = frame(&peer.hello);
        peer.send(&hello);
        let mut challenge = [0; 8 + 33];
        peer.stream.read_exact(&mut challenge).expect("a challenge");
        assert_eq!(challenge[8], 1, "a challenge");
        peer.nonce = challenge[9..].to_vec();
        peer
    }

    /// Sends bytes as they are; a node that has hung up is no failure here.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// The connector's proof of a secret.
    pub fn proof(&self, secret: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        mac.update(b"bellwether peer connector 1\0");
        for part in [&[][..], &self.hello, &self.nonce] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }

    /// Proves that it knows this secret.
    pub fn prove(&mut self, secret: &[u8]) {
        let proof = frame(&self.proof(secret));
        self.send(&proof);
    }

    /// Says nothing more, and hears what the node has still to say.
    pub fn rest(&mut self) -> String {
        self.stream.shutdown(Shutdown::Write).ok();
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).ok();
        String::from_utf8_lossy(&rest).into_owned()
    }
}
