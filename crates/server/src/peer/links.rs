//! Outgoing consensus messages: per other node one connection for small ones and one for entries.
//!
//! Whoever has a message writes it to the socket at once, as far as that takes it; a task of the connection writes the
//! rest, and connects anew when it breaks.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bellwether_http::Metrics;
use bellwether_node::{Event, Message};
use bellwether_types::codec::Encoder;
use bellwether_types::{DatabaseId, NodeId};
use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use super::frame::{FrameError, Purpose, put_frame};
use super::handshake::connect;
use crate::config::{Config, Member};
use crate::lock::Stream;
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
}

/// Where consensus messages leave this node.
pub(crate) struct Links {
    node: NodeId,
    links: BTreeMap<NodeId, Link>,
    metrics: Arc<Metrics>,
}

/// What [`Links::open`] leaves to be spawned.
pub(crate) struct Outgoing {
    member: Member,
    config: Config,
    purpose: Purpose,
    pipe: Arc<Pipe>,
}

impl Links {
    /// The connections, and the tasks that keep them up.
    pub fn open(config: &Config, metrics: &Arc<Metrics>) -> (Arc<Links>, Vec<Outgoing>) {
        let mut outgoing = Vec::new();
        let mut links = BTreeMap::new();
        for member in config.members.iter().filter(|member| member.node != config.node) {
            let mut open = |purpose| {
                let pipe = Arc::new(Pipe::default());
                outgoing.push(Outgoing {
                    member: *member,
                    config: config.clone(),
                    purpose,
                    pipe: Arc::clone(&pipe),
                });
                pipe
            };
            let link = Link {
                control: open(Purpose::Control),
                bulk: open(Purpose::Bulk),
            };
            links.insert(member.node, link);
        }
        (
            Arc::new(Links {
                node: config.node,
                links,
                metrics: Arc::clone(metrics),
            }),
            outgoing,
        )
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Writes a message, or as much of it as the socket takes, and never waits; drops it when too much is to be
    /// written already.
    pub fn send(&self, database: DatabaseId, message: &Message) {
        let Some(link) = self.links.get(&message.to) else {
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

    /// Writes what is left by others, until the connection breaks.
    async fn write_the_rest(&self) -> std::io::Error {
        loop {
            let written = std::future::poll_fn(|context| self.lock().poll_write(context)).await;
            if let Err(error) = written {
                return error;
            }
            self.left.notified().await;
        }
    }
}

impl PipeState {
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

impl Outgoing {
    /// Connects, writes, connects again; until stopped.
    pub async fn run(self, replicas: Arc<Replicas>, stop: Arc<Stop>) {
        let mut pause = RECONNECT_MIN;
        loop {
            tokio::select! {
                () = stop.asked() => return,
                error = self.write_until_broken() => {
                    tracing::debug!(peer = %self.member.node, purpose = ?self.purpose, "{error}");
                    if let FrameError::Refused(reason) = &error {
                        tracing::warn!(peer = %self.member.node, reason, "the peer refuses this node");
                        pause = RECONNECT_MAX;
                    }
                }
            }
            // Old messages are of no use after a break.
            let broken = std::mem::take(&mut *self.pipe.lock());
            if broken.stream.is_some() {
                pause = RECONNECT_MIN;
            }
            replicas.offer_all(|| Event::Unreachable(self.member.node));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_MAX);
        }
    }

    async fn write_until_broken(&self) -> FrameError {
        match connect(&self.config, &self.member, self.purpose).await {
            Ok(stream) => self.pipe.lock().stream = Some(stream),
            Err(error) => return error,
        }
        self.pipe.write_the_rest().await.into()
    }
}
