//! Outgoing consensus messages: per other node one connection for small ones and one for entries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_http::Metrics;
use bellwether_node::{Event, Message};
use bellwether_types::codec::Encoder;
use bellwether_types::{DatabaseId, NodeId};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::frame::{FrameError, Purpose, put_frame};
use super::handshake::connect;
use crate::config::{Config, Member};
use crate::node::Replicas;
use crate::stop::Stop;

/// Messages that may wait for one connection; one more is dropped, and the protocol sends it again.
const QUEUE_MAX: usize = 1024;

/// Frames are gathered into one write up to so many bytes.
const WRITE_BYTES: usize = 256 << 10;

/// Between attempts to connect.
const RECONNECT_MIN: Duration = Duration::from_millis(20);
const RECONNECT_MAX: Duration = Duration::from_millis(500);

struct Link {
    control: mpsc::Sender<(DatabaseId, Message)>,
    bulk: mpsc::Sender<(DatabaseId, Message)>,
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
    queue: mpsc::Receiver<(DatabaseId, Message)>,
    metrics: Arc<Metrics>,
}

impl Links {
    /// The queues, and the senders that empty them.
    pub fn open(config: &Config, metrics: &Arc<Metrics>) -> (Arc<Links>, Vec<Outgoing>) {
        let mut outgoing = Vec::new();
        let mut links = BTreeMap::new();
        for member in config.members.iter().filter(|member| member.node != config.node) {
            let mut open = |purpose| {
                let (sender, queue) = mpsc::channel(QUEUE_MAX);
                let metrics = Arc::clone(metrics);
                outgoing.push(Outgoing {
                    member: *member,
                    config: config.clone(),
                    purpose,
                    queue,
                    metrics,
                });
                sender
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

    /// Queues a message, or drops it when the queue is full.
    pub fn send(&self, database: DatabaseId, message: Message) {
        let Some(link) = self.links.get(&message.to) else {
            return;
        };
        let queue = if message.is_bulk() {
            &link.bulk
        } else {
            &link.control
        };
        if queue.try_send((database, message)).is_err() {
            self.metrics.peer_messages_dropped.increment();
        }
    }
}

impl Outgoing {
    /// Connects, sends, connects again; until stopped.
    pub async fn run(mut self, replicas: Arc<Replicas>, stop: Arc<Stop>) {
        let mut pause = RECONNECT_MIN;
        loop {
            tokio::select! {
                () = stop.asked() => return,
                ended = self.send_until_broken() => match ended {
                    None => return,
                    Some(error) => {
                        tracing::debug!(peer = %self.member.node, purpose = ?self.purpose, "{error}");
                        if let FrameError::Refused(reason) = &error {
                            tracing::warn!(peer = %self.member.node, reason, "the peer refuses this node");
                            pause = RECONNECT_MAX;
                        }
                    }
                }
            }
            replicas.offer_all(|| Event::Unreachable(self.member.node));
            // Old messages are of no use after a break.
            while self.queue.try_recv().is_ok() {}
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_MAX);
        }
    }

    /// `None` when nobody will send any more.
    async fn send_until_broken(&mut self) -> Option<FrameError> {
        let mut stream = match connect(&self.config, &self.member, self.purpose).await {
            Ok(stream) => stream,
            Err(error) => return Some(error),
        };
        let mut out = BytesMut::new();
        let mut content = Encoder::new();
        loop {
            let mut next = Some(self.queue.recv().await?);
            while let Some((database, message)) = next {
                content.clear();
                content.u64(u64::from(database.0));
                message.encode(&mut content);
                put_frame(&mut out, content.as_slice());
                self.metrics.peer_messages_out.increment();
                next = if out.len() < WRITE_BYTES {
                    self.queue.try_recv().ok()
                } else {
                    None
                };
            }
            self.metrics.peer_bytes_out.add(out.len() as u64);
            let written = match stream.write_all(&out).await {
                Ok(()) => stream.flush().await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                return Some(error.into());
            }
            out.clear();
        }
    }
}
