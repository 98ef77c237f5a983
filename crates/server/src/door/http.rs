//! The HTTP door: sockets around `bellwether_http`.

use std::sync::Arc;
use std::time::Duration;

use bellwether_http::{MAX_HEAD_BYTES, Response, parse_request, respond};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::node::Node;

/// Monitors and load balancers, not users: few.
const CONNECTIONS_MAX: usize = 256;

/// A connection that says nothing for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves until stopped.
pub(crate) async fn accept_http(node: Arc<Node>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = tokio::select! {
            () = node.stop.asked() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let served = tokio::select! {
                () = node.stop.asked() => Ok(()),
                served = serve(&node, stream) => served,
            };
            if let Err(error) = served {
                tracing::debug!(%error, "an HTTP connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve(node: &Node, mut stream: TcpStream) -> std::io::Result<()> {
    let mut input = Vec::new();
    loop {
        match parse_request(&input) {
            Ok(Some(parsed)) => {
                let response = respond(&parsed.request, &node.status(), &node.metrics.snapshot());
                stream.write_all(&response.to_bytes(parsed.keep_alive)).await?;
                if !parsed.keep_alive {
                    return stream.shutdown().await;
                }
                input.drain(..parsed.consumed);
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                stream
                    .write_all(&Response::bad_request(error).to_bytes(false))
                    .await?;
                return stream.shutdown().await;
            }
        }
        let mut chunk = [0; MAX_HEAD_BYTES];
        match tokio::time::timeout(IDLE_TIMEOUT, stream.read(&mut chunk)).await {
            Err(_) | Ok(Ok(0)) => return Ok(()),
            Ok(Ok(read)) => input.extend_from_slice(&chunk[..read]),
            Ok(Err(error)) => return Err(error),
        }
    }
}
