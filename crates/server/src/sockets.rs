//! The sockets that others connect to.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::ServeError;

/// Without descriptors or memory for one more connection, the next try comes after this.
const RETRY: Duration = Duration::from_millis(100);

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| ServeError::Listen { address, error })
}

/// The next connection, of a `client` in the words of the log. It waits out what fails, as when all descriptors are
/// taken, and may be dropped at any time: no connection is lost.
pub(crate) async fn accept(listener: &TcpListener, client: &str) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept {client}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
