//! Outgoing consensus messages: per other node and database one connection for small ones and one for entries.
//!
//! Whoever reads a message drives its replica, and waits for its disk: databases with a connection in common would wait for
//! each other's, and a bulk load of one would keep the heartbeats of another.
//!
//! Whoever has a message writes it to the socket at once, as far as that takes it; a task of the connection writes the
//! rest, and connects anew when it breaks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bellwether_http::Metrics;
use bellwether_node::{Event, Message};
use bellwether_types::codec::Encoder;
use bellwether_types::{DatabaseId, NodeId};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};

use super::frame::{FrameError, Purpose, put_frame};
use super::handshake::Caller;
use crate::DATABASES;
use crate::lock::Stream;
use crate::members::removed;
use crate::node::Replicas;
use crate::stop::Stop;

/// Bytes that may wait for one connection; a message after them is dropped, and the protocol sends it again.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Room that a larger message had is given back when it is written.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Between attempts to connect.
const RECONNECT_MIN: Duration = Duration::from_millis(20);
const RECONNECT_MAX: Duration = Duration::from_millis(500);

struct Link {
    control: Arc<Pipe>,
    bulk: Arc<Pipe>,
    /// Where its connections go.
    address: Option<SocketAddr>,
    /// Dropped with it: its tasks end.
    _alive: watch::Sender<()>,
}

/// Where consensus messages leave this node.
pub(crate) struct Links {
    caller: Arc<Caller>,
    links: RwLock<BTreeMap<(NodeId, DatabaseId), Link>>,
    metrics: Arc<Metrics>,
}

/// A connection's task.
struct Outgoing {
    to: NodeId,
    database: DatabaseId,
    purpose: Purpose,
    caller: Arc<Caller>,
    pipe: Arc<Pipe>,
    alive: watch::Receiver<()>,
}

impl Links {
    /// To nobody yet: see [`follow`].
    pub fn new(caller: Arc<Caller>, metrics: &Arc<Metrics>) -> Arc<Links> {
        Arc::new(Links {
            caller,
            links: RwLock::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.caller.node
    }

    /// Writes a message, or as much of it as the socket takes, and never waits; drops it when too much is to be
    /// written already.
    pub fn send(&self, database: DatabaseId, message: &Message) {
        let links = self.links.read().expect("no holder of this lock panics");
        let Some(link) = links.get(&(message.to, database)) else {
            return;
        };
        let pipe = if message.is_bulk() {
            &link.bulk
        } else {
            &link.control
        };
        match pipe.send(database, message) {
            Some(bytes) => {
                self.metrics.peer_messages_out.increment();
                self.metrics.peer_bytes_out.add(bytes as u64);
            }
            None => self.metrics.peer_messages_dropped.increment(),
        }
    }

    /// Links to each of the others, where it is now. What is to be spawned.
    fn renew(&self) -> Vec<Outgoing> {
        let members = self.caller.members.current();
        let others = members.present().filter(|member| member.node != self.caller.node);
        let others: Vec<NodeId> = others.map(|member| member.node).collect();
        let mut links = self.links.write().expect("no holder of this lock panics");
        links.retain(|(node, _), link| others.contains(node) && link.address == self.caller.address(*node));
        let mut outgoing = Vec::new();
        let all = others
            .into_iter()
            .flat_map(|to| DATABASES.map(|(database, _)| (to, database)));
        for (to, database) in all {
            links.entry((to, database)).or_insert_with(|| {
                let (sender, alive) = watch::channel(());
                let mut open = |purpose| {
                    let pipe = Arc::new(Pipe::default());
                    outgoing.push(Outgoing {
                        to,
                        database,
                        purpose,
                        caller: Arc::clone(&self.caller),
                        pipe: Arc::clone(&pipe),
                        alive: alive.clone(),
                    });
                    pipe
                };
                Link {
                    control: open(Purpose::Control),
                    bulk: open(Purpose::Bulk),
                    address: self.caller.address(to),
                    _alive: sender,
                }
            });
        }
        outgoing
    }
}

/// Keeps links to all other nodes, wherever they are; until stopped.
pub(crate) async fn follow(links: Arc<Links>, replicas: Arc<Replicas>, stop: Arc<Stop>) {
    let mut members = links.caller.members.subscribe();
    loop {
        for outgoing in links.renew() {
            tokio::spawn(outgoing.run(Arc::clone(&replicas), Arc::clone(&stop)));
        }
        tokio::select! {
            () = stop.asked() => return,
            changed = members.changed() => if changed.is_err() { return },
        }
    }
}

/// One connection, or what waits for there to be one.
#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
    /// There is something to do for the connection's task.
    left: Notify,
}

#[derive(Default)]
struct PipeState {
    stream: Option<Stream>,
    /// Frames to be written; the first may be written in part.
    waiting: BytesMut,
    /// TLS may hold back what was written.
    is_flushed: bool,
    content: Encoder,
    /// The buffers have held more than they are to keep.
    is_large: bool,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// The bytes of its frame; `None` when there is no room for it.
    fn send(&self, database: DatabaseId, message: &Message) -> Option<usize> {
        let mut state = self.lock();
        let before = state.waiting.len();
        if before > WAITING_BYTES_MAX {
            return None;
        }
        let PipeState { content, waiting, .. } = &mut *state;
        content.clear();
        content.u64(u64::from(database.0));
        message.encode(content);
        put_frame(waiting, content.as_slice());
        let bytes = state.waiting.len() - before;
        state.is_large |= state.waiting.len() > KEPT_BYTES_MAX;
        // What waits is the task's to write, and it is at it.
        let is_mine = before == 0 && state.is_flushed && state.stream.is_some();
        let written = is_mine
            && matches!(
                state.poll_write(&mut Context::from_waker(Waker::noop())),
                Poll::Ready(Ok(()))
            );
        drop(state);
        if is_mine && !written {
            self.left.notify_one();
        }
        Some(bytes)
    }

    /// Writes what is left by others, until the connection breaks. Nobody answers on it; it is read all the same, to
    /// hear at once that the other side is gone: else the next message, a vote perhaps, would be lost in finding out.
    async fn write_the_rest(&self) -> std::io::Error {
        loop {
            let written = std::future::poll_fn(|context| self.lock().poll_write(context)).await;
            if let Err(error) = written {
                return error;
            }
            let ended = std::future::poll_fn(|context| self.lock().poll_end(context));
            tokio::select! {
                () = self.left.notified() => {}
                error = ended => return error,
            }
        }
    }
}

impl PipeState {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<std::io::Error> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        let mut byte = [0];
        match ready!(Pin::new(stream).poll_read(context, &mut ReadBuf::new(&mut byte))) {
            Ok(()) => Poll::Ready(std::io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Poll::Ready(error),
        }
    }

    /// Until all is written and on its way.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        let mut stream = Pin::new(stream);
        while self.waiting.has_remaining() {
            self.is_flushed = false;
            let written = ready!(stream.as_mut().poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        ready!(stream.poll_flush(context))?;
        self.is_flushed = true;
        if std::mem::take(&mut self.is_large) {
            self.waiting = BytesMut::new();
            self.content = Encoder::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether a peer's word that this node was removed is to be believed: nobody else who could know leads it.
fn goes_on_without(replicas: &Replicas) -> bool {
    let Some(system) = replicas.get(DatabaseId::SYSTEM) else {
        return true;
    };
    let is_alone = system.group.borrow().configuration.voters.len() <= 1;
    let leader = system.reign.borrow().leader;
    is_alone || leader.is_none()
}

impl Outgoing {
    /// Connects, writes, connects again; until stopped, or until the link is no more.
    async fn run(mut self, replicas: Arc<Replicas>, stop: Arc<Stop>) {
        let mut pause = RECONNECT_MIN;
        loop {
            tokio::select! {
                () = stop.asked() => return,
                // Nothing is ever sent: its sender is gone.
                _ = self.alive.changed() => return,
                error = write_until_broken(&self.caller, self.to, self.purpose, &self.pipe) => {
                    tracing::debug!(peer = %self.to, purpose = ?self.purpose, "{error}");
                    match error {
                        FrameError::Removed if goes_on_without(&replicas) => return stop.fail(removed()),
                        FrameError::Removed => {
                            tracing::error!(
                                peer = %self.to,
                                "the peer says that this node was removed, and this node's cluster goes on: are there two?"
                            );
                            pause = RECONNECT_MAX;
                        }
                        FrameError::Refused(reason) => {
                            tracing::warn!(peer = %self.to, reason, "the peer refuses this node");
                            pause = RECONNECT_MAX;
                        }
                        _ => {}
                    }
                }
            }
            // Old messages are of no use after a break.
            let broken = std::mem::take(&mut *self.pipe.lock());
            if broken.stream.is_some() {
                pause = RECONNECT_MIN;
            }
            if let Some(replica) = replicas.get(self.database) {
                replica.offer(Event::Unreachable(self.to));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_MAX);
        }
    }
}

async fn write_until_broken(caller: &Caller, to: NodeId, purpose: Purpose, pipe: &Pipe) -> FrameError {
    match caller.connect(to, purpose).await {
        Ok(stream) => pipe.lock().stream = Some(stream),
        Err(error) => return error,
    }
    pipe.write_the_rest().await.into()
}
