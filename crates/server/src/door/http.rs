//! The HTTP door: sockets around `bellwether_http`.

mod cluster;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_http::{
    MAX_HEAD_BYTES, Request, Response, parse_request, respond, respond_cluster, respond_to_stranger,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::lock::tls::Door;
use crate::lock::{Stream, is_monitor};
use crate::node::Node;
use crate::sockets::accept;

/// Monitors and load balancers, not users: few.
const CONNECTIONS_MAX: usize = 256;

/// A connection that says nothing for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The first byte, and TLS where that begins it, must come within this time.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until stopped.
pub(crate) async fn accept_http(node: Arc<Node>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = tokio::select! {
            () = node.stop.asked() => return,
            stream = accept(&listener, "an HTTP connection") => stream,
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

async fn open(node: &Node, stream: TcpStream) -> std::io::Result<Stream> {
    match &node.lock.tls {
        Some(tls) if Stream::begins_with_tls(&stream).await? => {
            let (stream, _) = tls.accept(stream, Door::Http, true).await?;
            Ok(stream)
        }
        _ => Ok(Stream::Plain(stream)),
    }
}

/// This machine itself is trusted, as at PostgreSQL's door by default. Others must prove to be a role that may see
/// status and metrics, inside TLS, for more than health.
async fn answer(node: &Node, request: &Request, from: IpAddr, over_tls: bool) -> Response {
    let is_trusted = from.is_loopback()
        || match &request.credentials {
            Some(credentials) if over_tls => {
                is_monitor(node, from, &credentials.user, credentials.password.clone()).await
            }
            _ => false,
        };
    if is_trusted && request.path == "/cluster" {
        respond_cluster(request, &node.status(), &cluster::ask_all(node).await)
    } else if is_trusted {
        respond(request, &node.status(), &node.metrics.snapshot())
    } else {
        respond_to_stranger(request, &node.status(), over_tls)
    }
}

async fn serve(node: &Node, stream: TcpStream) -> std::io::Result<()> {
    let from = stream.peer_addr()?.ip().to_canonical();
    let opening = tokio::time::timeout(OPENING_TIMEOUT, open(node, stream));
    let mut stream = opening.await.map_err(|_| std::io::ErrorKind::TimedOut)??;
    let mut input = Vec::new();
    loop {
        match parse_request(&input) {
            Ok(Some(parsed)) => {
                let response = answer(node, &parsed.request, from, stream.is_tls()).await;
                stream.write_all(&response.to_bytes(parsed.keep_alive)).await?;
                stream.flush().await?;
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
