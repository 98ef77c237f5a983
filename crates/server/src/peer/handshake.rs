//! How two nodes come to trust a connection: each proves the cluster's secret before anything else is said.
//!
//! Connector: [`Hello`] with a nonce. Acceptor: a nonce. Connector: its proof. Acceptor: its proof, or why it does
//! not want this peer; a peer without the secret learns no more than that it has not proven it. Between machines all
//! of this is inside TLS, and the proofs are bound to that channel.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bellwether_types::{ClusterId, NodeId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::acceptor::{Acceptor, Answer, FRAME_BYTES};
use super::frame::{FrameError, FrameReader, Hello, Purpose, write_frame};
use crate::lock::Stream;
use crate::lock::secret::{PROOF_BYTES, Secret, Side};
use crate::lock::tls::{Door, Tls, connect_to_peer};
use crate::members::MemberBook;
use crate::random::random_array;

/// The node that does not answer a greeting in this time is not there.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

/// What the acceptor's frames begin with. Frozen.
mod answer {
    pub const REFUSED: u8 = 0;
    pub const CHALLENGE: u8 = 1;
    pub const ACCEPTED: u8 = 2;
    pub const REMOVED: u8 = 3;
}

/// Connects to other nodes in the name of this one.
pub(crate) struct Caller {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub secret: Secret,
    pub members: Arc<MemberBook>,
    /// Nodes that are reached elsewhere than they say.
    pub via: BTreeMap<NodeId, SocketAddr>,
    /// Where the operator says that they are, for when all have moved and none is where the list says.
    pub hints: BTreeMap<NodeId, SocketAddr>,
}

impl Caller {
    /// Where that node is reached from here.
    pub fn address(&self, to: NodeId) -> Option<SocketAddr> {
        let via = self.via.get(&to).copied();
        via.or_else(|| Some(self.members.current().get(to)?.addresses.peer))
    }

    /// A connection to a member that has proven the secret, and to whom we have.
    pub async fn connect(&self, to: NodeId, purpose: Purpose) -> Result<Stream, FrameError> {
        let address = self.address(to).ok_or(FrameError::Unknown(to))?;
        let hello = Hello {
            cluster: self.cluster,
            from: self.node,
            to,
            purpose,
            nonce: random_array()?,
        };
        let hint = self
            .hints
            .get(&to)
            .filter(|hint| **hint != address && !self.via.contains_key(&to));
        match (greet(address, &hello, &self.secret).await, hint) {
            (Err(FrameError::Io(_)), Some(hint)) => greet(*hint, &hello, &self.secret).await,
            (greeted, _) => greeted,
        }
    }
}

/// A connection to whoever listens there and has proven the secret.
pub(crate) async fn greet(address: SocketAddr, hello: &Hello, secret: &Secret) -> Result<Stream, FrameError> {
    match tokio::time::timeout(GREETING_TIMEOUT, exchange(address, hello, secret)).await {
        Ok(result) => result,
        Err(_) => Err(FrameError::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn exchange(address: SocketAddr, hello: &Hello, secret: &Secret) -> Result<Stream, FrameError> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let mut stream = if address.ip().is_loopback() {
        Stream::Plain(tcp)
    } else {
        connect_to_peer(tcp, address.ip()).await?
    };
    let hello = hello.encode();
    write_frame(&mut stream, &hello).await?;
    let mut reader = FrameReader::default();
    let nonce = heard(&mut reader, &mut stream, answer::CHALLENGE).await?;
    let channel = stream.key_material()?;
    let transcript: [&[u8]; 3] = [&channel, &hello, &nonce];
    write_frame(&mut stream, &secret.prove(Side::Connector, &transcript)).await?;
    let proof = heard(&mut reader, &mut stream, answer::ACCEPTED).await?;
    if secret.is_proof(&proof, Side::Acceptor, &transcript) {
        Ok(stream)
    } else {
        Err(FrameError::NotProven)
    }
}

/// The acceptor's next answer, which must be of this kind.
async fn heard(
    reader: &mut FrameReader,
    stream: &mut Stream,
    expected: u8,
) -> Result<[u8; PROOF_BYTES], FrameError> {
    let Some(frame) = reader.next(stream, FRAME_BYTES).await? else {
        return Err(FrameError::Io(std::io::ErrorKind::ConnectionReset.into()));
    };
    match frame.split_first() {
        Some((&answer::REFUSED, reason)) => {
            Err(FrameError::Refused(String::from_utf8_lossy(reason).into_owned()))
        }
        Some((&answer::REMOVED, _)) => Err(FrameError::Removed),
        Some((&kind, rest)) if kind == expected => {
            <[u8; PROOF_BYTES]>::try_from(rest).map_err(|_| FrameError::NotProven)
        }
        _ => Err(FrameError::NotProven),
    }
}

/// A peer that has proven the secret.
pub(super) struct Proven {
    pub hello: Hello,
    pub reader: FrameReader,
    pub stream: Stream,
}

/// The accepting half, to be given a time limit; `None`: whoever it was has been refused, or was no peer at all.
pub(super) async fn accept(
    caller: &Caller,
    tls: Option<&Tls>,
    tcp: TcpStream,
) -> Result<Option<Proven>, FrameError> {
    tcp.set_nodelay(true)?;
    let from = tcp.peer_addr()?.ip().to_canonical();
    let Some(mut stream) = wrap(tls, tcp, from).await? else {
        return Ok(None);
    };
    let mut reader = FrameReader::default();
    let channel = stream.key_material()?;
    let members = caller.members.current();
    let mut acceptor = Acceptor {
        cluster: caller.cluster,
        node: caller.node,
        is_removed: &|node| members.is_removed(node),
        secret: &caller.secret,
        channel: &channel,
        nonce: random_array()?,
        greeted: None,
    };
    let mut is_greeted = false;
    loop {
        // Whoever does not speak in frames is nobody to explain to.
        let Ok(Some(frame)) = reader.next(&mut stream, FRAME_BYTES).await else {
            return Ok(None);
        };
        match acceptor.hear(frame) {
            Answer::Challenge(nonce) => {
                is_greeted = true;
                say(&mut stream, answer::CHALLENGE, &nonce).await?;
            }
            Answer::Refuse(reason) => {
                // Of what is no hello at all there may be any number.
                if is_greeted {
                    tracing::warn!(%from, reason, "refused a peer");
                }
                say(&mut stream, answer::REFUSED, reason.as_bytes()).await?;
                stream.shutdown().await?;
                return Ok(None);
            }
            Answer::Removed => {
                tracing::warn!(%from, "refused a node that was removed from the cluster");
                say(&mut stream, answer::REMOVED, &[]).await?;
                stream.shutdown().await?;
                return Ok(None);
            }
            Answer::Accept { hello, proof } => {
                say(&mut stream, answer::ACCEPTED, &proof).await?;
                return Ok(Some(Proven {
                    hello,
                    reader,
                    stream,
                }));
            }
        }
    }
}

/// TLS for those who begin with it; without it only this machine itself may come.
async fn wrap(tls: Option<&Tls>, tcp: TcpStream, from: IpAddr) -> std::io::Result<Option<Stream>> {
    if Stream::begins_with_tls(&tcp).await? {
        let Some(tls) = tls else { return Ok(None) };
        let (stream, _) = tls.accept(tcp, Door::Peer, true).await?;
        return Ok(Some(stream));
    }
    if !from.is_loopback() {
        tracing::warn!(%from, "closed a peer's connection without TLS from another machine");
        return Ok(None);
    }
    Ok(Some(Stream::Plain(tcp)))
}

async fn say(stream: &mut Stream, kind: u8, content: &[u8]) -> std::io::Result<()> {
    write_frame(stream, &[&[kind], content].concat()).await
}
