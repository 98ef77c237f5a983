//! What the acceptor of a handshake makes of a connector's frames, without a socket.

use bellwether_types::{ClusterId, NodeId};
use bytes::Bytes;

use super::frame::{Hello, Purpose};
use crate::lock::secret::{PROOF_BYTES, Secret, Side};

/// The longest frame of a handshake.
pub(crate) const FRAME_BYTES: usize = 4096;

/// The node that accepts.
pub(crate) struct Acceptor<'a> {
    pub cluster: ClusterId,
    pub node: NodeId,
    /// Whether a node was removed from the cluster. One that is not known may be new.
    pub is_removed: &'a (dyn Fn(NodeId) -> bool + Sync),
    pub secret: &'a Secret,
    /// Binds the proofs to the channel.
    pub channel: &'a [u8],
    /// Drawn for this connection.
    pub nonce: [u8; PROOF_BYTES],
    /// The connector's first frame, and what it says.
    pub greeted: Option<(Hello, Bytes)>,
}

/// What to say to a frame.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Our nonce.
    Challenge([u8; PROOF_BYTES]),
    /// It knows the secret and is wanted: our own proof.
    Accept { hello: Hello, proof: [u8; PROOF_BYTES] },
    /// Why not. No more frames are heard.
    Refuse(String),
    /// It was removed from the cluster. No more frames are heard.
    Removed,
}

impl Acceptor<'_> {
    /// The connector's next frame: its hello, then its proof.
    pub fn hear(&mut self, frame: Bytes) -> Answer {
        let Some((hello, first)) = self.greeted.take() else {
            return match Hello::decode(&frame) {
                Ok(hello) => {
                    self.greeted = Some((hello, frame));
                    Answer::Challenge(self.nonce)
                }
                Err(error) => Answer::Refuse(error.to_string()),
            };
        };
        let transcript: [&[u8]; 3] = [self.channel, &first, &self.nonce];
        if !self.secret.is_proof(&frame, Side::Connector, &transcript) {
            let reason = "the cluster's secret was not proven; give every node the same --secret-file";
            return Answer::Refuse(reason.to_owned());
        }
        if let Some(reason) = self.why_unwanted(&hello) {
            return Answer::Refuse(reason);
        }
        if (self.is_removed)(hello.from) {
            return Answer::Removed;
        }
        let proof = self.secret.prove(Side::Acceptor, &transcript);
        Answer::Accept { hello, proof }
    }

    fn why_unwanted(&self, hello: &Hello) -> Option<String> {
        // Who is to join knows neither whom it asks nor who it will be.
        if hello.purpose == Purpose::Join && hello.from == NodeId(0) {
            return None;
        }
        if hello.cluster != self.cluster {
            return Some(format!("this is cluster {}, not {}", self.cluster, hello.cluster));
        }
        if hello.to != self.node {
            return Some(format!("this is node {}, not {}", self.node, hello.to));
        }
        if hello.from == self.node || hello.from == NodeId(0) {
            return Some(format!(
                "node {} is none that could connect to this one",
                hello.from
            ));
        }
        None
    }
}
