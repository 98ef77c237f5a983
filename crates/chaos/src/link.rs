//! A proxy for one direction of dialling: it listens on loopback, dials for whoever comes, and carries bytes both ways,
//! as long as it is let. It knows no protocol.
//!
//! Bytes are never lost within a connection, as TCP loses none: what is [held](Flow::Held) arrives late, or never when
//! the connection ends before. To the two ends this looks like a network that drops everything and recovers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What is carried at once.
const PIECE_BYTES: usize = 64 << 10;

/// What becomes of bytes in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flow {
    /// They are carried.
    #[default]
    Open,
    /// Each piece waits so long before it is carried, and those behind it wait for it.
    Slow(Duration),
    /// They wait until this ends. Connections stay open; new ones are taken and reach nobody.
    Held,
    /// Connections are closed, and new ones as soon as they are taken.
    Refused,
    /// The next piece is not carried: its connection is closed instead, so that what was asked happens and nobody is
    /// told.
    Swallowed,
}

/// Both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flows {
    /// From whoever dialled.
    forth: Flow,
    back: Flow,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Forth,
    Back,
}

impl Flows {
    fn of(self, direction: Direction) -> Flow {
        match direction {
            Direction::Forth => self.forth,
            Direction::Back => self.back,
        }
    }

    fn is(self, flow: Flow) -> bool {
        self.forth == flow || self.back == flow
    }
}

/// A proxy. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    flows: watch::Sender<Flows>,
    listening: JoinHandle<()>,
}

impl Link {
    /// Listens on a port that the system chooses, for whoever wants to reach `to`.
    pub async fn open(to: SocketAddr) -> io::Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (flows, watched) = watch::channel(Flows::default());
        let listening = tokio::spawn(listen(listener, to, watched));
        Ok(Link {
            address,
            flows,
            listening,
        })
    }

    /// Where to dial instead.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For bytes of whoever dialled.
    pub fn set_forth(&self, flow: Flow) {
        self.flows.send_modify(|flows| flows.forth = flow);
    }

    /// For bytes to whoever dialled.
    pub fn set_back(&self, flow: Flow) {
        self.flows.send_modify(|flows| flows.back = flow);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, to: SocketAddr, flows: watch::Receiver<Flows>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Without more files for now: whoever dialled tries again.
                let Ok((near, _)) = accepted else { continue };
                if !flows.borrow().is(Flow::Refused) {
                    connections.spawn(connect(near, to, flows.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Dials when both directions allow it, as a handshake of TCP needs both. Nobody is told why a connection ended.
async fn connect(near: TcpStream, to: SocketAddr, mut flows: watch::Receiver<Flows>) {
    let passes = flows.wait_for(|flows| !flows.is(Flow::Held)).await;
    if passes.map_or(true, |flows| flows.is(Flow::Refused)) {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    near.set_nodelay(true).ok();
    far.set_nodelay(true).ok();
    let (near_reads, near_writes) = near.into_split();
    let (far_reads, far_writes) = far.into_split();
    let forth = carry(near_reads, far_writes, Direction::Forth, flows.clone());
    let back = carry(far_reads, near_writes, Direction::Back, flows.clone());
    let refused = flows.wait_for(|flows| flows.is(Flow::Refused));
    tokio::select! {
        _ = async { tokio::try_join!(forth, back) } => {}
        _ = refused => {}
    }
}

/// Until one side ends, which the other is told. An error ends both directions.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut flows: watch::Receiver<Flows>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        let passes = flows.wait_for(|flows| flows.of(direction) != Flow::Held).await;
        let flow = passes
            .map_err(|_| io::ErrorKind::ConnectionAborted)?
            .of(direction);
        match flow {
            Flow::Swallowed if read > 0 => return Err(io::ErrorKind::ConnectionAborted.into()),
            Flow::Slow(wait) => tokio::time::sleep(wait).await,
            _ => {}
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link to a listener, a connection through it, and the listener's end of that.
    async fn connected() -> (Link, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let link = Link::open(listener.local_addr().expect("bound"))
            .await
            .expect("a port");
        let near = TcpStream::connect(link.address()).await.expect("it listens");
        let (far, _) = listener.accept().await.expect("it dials");
        (link, near, far)
    }

    async fn said(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = [0; 16];
        let read = stream.read(&mut bytes).await.unwrap_or(0);
        bytes[..read].to_vec()
    }

    #[tokio::test]
    async fn what_is_held_arrives_when_it_is_let_and_the_other_direction_goes_on() {
        let (link, mut near, mut far) = connected().await;
        link.set_forth(Flow::Held);
        near.write_all(b"late").await.expect("taken");
        far.write_all(b"soon").await.expect("taken");
        assert_eq!(said(&mut near).await, b"soon");
        let early = far.try_read(&mut [0]).expect_err("it is held");
        assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
        link.set_forth(Flow::Open);
        assert_eq!(said(&mut far).await, b"late");
    }

    #[tokio::test]
    async fn what_is_refused_is_closed_and_nobody_comes_in() {
        let (link, mut near, mut far) = connected().await;
        link.set_back(Flow::Refused);
        assert_eq!(said(&mut near).await, b"");
        assert_eq!(said(&mut far).await, b"");
        let mut again = TcpStream::connect(link.address()).await.expect("it listens");
        assert_eq!(said(&mut again).await, b"");
    }

    #[tokio::test]
    async fn a_swallowed_answer_closes_the_connection_after_the_question_arrived() {
        let (link, mut near, mut far) = connected().await;
        link.set_back(Flow::Swallowed);
        near.write_all(b"question").await.expect("taken");
        assert_eq!(said(&mut far).await, b"question");
        far.write_all(b"answer").await.expect("taken");
        assert_eq!(said(&mut near).await, b"");
    }

    #[tokio::test]
    async fn an_end_is_carried_too() {
        let (_link, near, mut far) = connected().await;
        drop(near);
        assert_eq!(said(&mut far).await, b"");
    }
}
