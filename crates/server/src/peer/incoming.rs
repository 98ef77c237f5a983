//! Connections from other nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwether_node::Message;
use bellwether_types::DatabaseId;
use bellwether_types::codec::Decoder;
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::frame::{FRAME_BYTES_MAX, FrameError, FrameReader, Hello, Purpose};
use super::handshake::{self, Proven};
use crate::node::Node;
use crate::sockets::accept;

/// Connections from peers at one time: two of each database for consensus and up to a connection per client session of each peer.
const CONNECTIONS_MAX: usize = 4096;

/// Of these, those that have not proven the secret yet: strangers cannot take all places.
const UNPROVEN_MAX: usize = 256;

/// Who connects must prove the secret within this time.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves peers until stopped.
pub(crate) async fn accept_peers(node: Arc<Node>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let unproven = Arc::new(Semaphore::new(UNPROVEN_MAX));
    loop {
        let stream = tokio::select! {
            () = node.stop.asked() => return,
            stream = accept(&listener, "a peer's connection") => stream,
        };
        let places = (
            Arc::clone(&permits).try_acquire_owned(),
            Arc::clone(&unproven).try_acquire_owned(),
        );
        let (Ok(permit), Ok(unproven)) = places else {
            tracing::warn!(
                max = CONNECTIONS_MAX,
                "too many connections from peers: one is closed"
            );
            continue;
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            if let Err(error) = serve(node, stream, unproven).await {
                tracing::debug!(%error, "a peer's connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve(node: Arc<Node>, stream: TcpStream, unproven: OwnedSemaphorePermit) -> Result<(), FrameError> {
    let accepting = handshake::accept(&node.caller, node.lock.tls.as_ref(), stream);
    let Ok(accepted) = tokio::time::timeout(HELLO_TIMEOUT, accepting).await else {
        return Ok(());
    };
    let Some(Proven {
        hello,
        reader,
        stream,
    }) = accepted?
    else {
        return Ok(());
    };
    drop(unproven);
    match hello.purpose {
        Purpose::Control | Purpose::Bulk => take_messages(&node, hello, reader, stream).await,
        Purpose::Forward => on_clients(&node, crate::forward::serve(Arc::clone(&node), reader, stream)).await,
        Purpose::Join => {
            on_clients(
                &node,
                crate::members::serve_join(Arc::clone(&node), reader, stream),
            )
            .await
        }
        Purpose::Snapshot => {
            on_clients(
                &node,
                crate::replica::serve_snapshot(Arc::clone(&node), hello.from, reader, stream),
            )
            .await
        }
    }
}

/// What may take long runs beside the clients' own statements.
async fn on_clients(
    node: &Node,
    work: impl Future<Output = Result<(), FrameError>> + Send + 'static,
) -> Result<(), FrameError> {
    match node.clients.spawn(work).await {
        Ok(result) => result,
        // The runtime is shutting down.
        Err(_) => Ok(()),
    }
}

/// Until the peer is removed from the cluster: it is told so when it comes back.
async fn take_messages(
    node: &Node,
    hello: Hello,
    mut reader: FrameReader,
    mut stream: impl AsyncRead + Unpin,
) -> Result<(), FrameError> {
    let mut left = BTreeSet::new();
    let mut members = node.members.subscribe();
    // As of whenever it proved itself.
    members.mark_changed();
    loop {
        let frame = match reader.next_buffered(FRAME_BYTES_MAX)? {
            Some(frame) => frame,
            None => {
                // What has arrived together is written and synced together.
                let replicas = std::mem::take(&mut left).into_iter();
                replicas
                    .filter_map(|database| node.replicas.get(database))
                    .for_each(|replica| replica.drive());
                let frame = tokio::select! {
                    () = node.stop.asked() => return Ok(()),
                    changed = members.changed() => {
                        let is_removed = members.borrow_and_update().is_removed(hello.from);
                        match changed.is_err() || is_removed {
                            true => return Ok(()),
                            false => continue,
                        }
                    }
                    frame = reader.next(&mut stream, FRAME_BYTES_MAX) => frame?,
                };
                let Some(frame) = frame else { return Ok(()) };
                frame
            }
        };
        node.metrics.peer_messages_in.increment();
        node.metrics.peer_bytes_in.add(frame.len() as u64);
        let mut input = Decoder::new(&frame);
        let database = DatabaseId(input.u32("database")?);
        let message = Message::decode(&mut input)?;
        input.finish()?;
        // A message in another's name, or for a database that is not here, is nonsense: dropped.
        if message.from == hello.from
            && let Some(replica) = node.replicas.get(database)
        {
            left.insert(database);
            if !replica.leave(message) {
                node.metrics.peer_messages_dropped.increment();
            }
        }
    }
}
