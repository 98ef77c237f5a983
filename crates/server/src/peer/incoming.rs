//! Connections from other nodes.

use std::sync::Arc;
use std::time::Duration;

use bellwether_node::{Event, Message};
use bellwether_types::DatabaseId;
use bellwether_types::codec::Decoder;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::frame::{FRAME_BYTES_MAX, FrameError, FrameReader, Hello, Purpose, write_frame};
use crate::node::Node;

/// Connections from peers at one time: two for consensus and up to a connection per client session of each peer.
const CONNECTIONS_MAX: usize = 4096;

/// Who connects must say hello within this time.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves peers until stopped.
pub(crate) async fn accept_peers(node: Arc<Node>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = tokio::select! {
            () = node.stop.asked() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a peer's connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            tracing::warn!(
                max = CONNECTIONS_MAX,
                "too many connections from peers: one is closed"
            );
            continue;
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            if let Err(error) = serve(node, stream).await {
                tracing::debug!(%error, "a peer's connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve(node: Arc<Node>, mut stream: TcpStream) -> Result<(), FrameError> {
    stream.set_nodelay(true)?;
    let mut reader = FrameReader::default();
    let first = tokio::time::timeout(HELLO_TIMEOUT, reader.next(&mut stream, 4096)).await;
    let Ok(Ok(Some(first))) = first else {
        // Not a peer, or one that changed its mind: whatever it is, there is nobody to explain to.
        return Ok(());
    };
    let hello = match Hello::decode(&first) {
        Ok(hello) => hello,
        Err(error) => return refuse(&mut stream, error.to_string()).await,
    };
    if let Some(reason) = why_unwanted(&node, &hello) {
        tracing::warn!(from = %hello.from, reason, "refused a peer");
        return refuse(&mut stream, reason).await;
    }
    write_frame(&mut stream, b"").await?;
    match hello.purpose {
        Purpose::Control | Purpose::Bulk => take_messages(&node, hello, reader, stream).await,
        Purpose::Forward => on_clients(&node, crate::forward::serve(Arc::clone(&node), reader, stream)).await,
        Purpose::Snapshot => {
            on_clients(
                &node,
                crate::replica::serve_snapshot(Arc::clone(&node), reader, stream),
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

async fn refuse(stream: &mut TcpStream, reason: String) -> Result<(), FrameError> {
    write_frame(stream, reason.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

fn why_unwanted(node: &Node, hello: &Hello) -> Option<String> {
    let config = &node.config;
    if hello.cluster != config.cluster {
        return Some(format!(
            "this is cluster {}, not {}",
            config.cluster, hello.cluster
        ));
    }
    if hello.to != config.node {
        return Some(format!("this is node {}, not {}", config.node, hello.to));
    }
    if hello.from == config.node || config.member(hello.from).is_none() {
        return Some(format!("node {} is not a member of this cluster", hello.from));
    }
    None
}

async fn take_messages(
    node: &Node,
    hello: Hello,
    mut reader: FrameReader,
    mut stream: impl AsyncRead + Unpin,
) -> Result<(), FrameError> {
    loop {
        let frame = tokio::select! {
            () = node.stop.asked() => return Ok(()),
            frame = reader.next(&mut stream, FRAME_BYTES_MAX) => frame?,
        };
        let Some(frame) = frame else { return Ok(()) };
        node.metrics.peer_messages_in.increment();
        node.metrics.peer_bytes_in.add(frame.len() as u64);
        let mut input = Decoder::new(&frame);
        let database = DatabaseId(input.u32("database")?);
        let message = Message::decode(&mut input)?;
        input.finish()?;
        // A message in another's name, or for a database that is not here, is nonsense: dropped.
        if message.from == hello.from
            && let Some(replica) = node.replicas.get(database)
            && !replica.offer(Event::Message(message))
        {
            node.metrics.peer_messages_dropped.increment();
        }
    }
}
