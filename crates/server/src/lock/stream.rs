//! A connection, with or without TLS.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// The first byte of a TLS handshake; no other protocol here begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// What every door talks over.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the other side begins with TLS at once. Waits for its first byte and leaves it where it is.
    pub async fn begins_with_tls(stream: &TcpStream) -> io::Result<bool> {
        let mut first = [0];
        let read = stream.peek(&mut first).await?;
        Ok(read == 1 && first[0] == TLS_HANDSHAKE)
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// The connection below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Key material that only the two ends of this channel have; empty without TLS.
    pub fn key_material(&self) -> io::Result<Vec<u8>> {
        const LABEL: &[u8] = b"EXPORTER-bellwether-peer";
        let empty = [0; super::secret::PROOF_BYTES];
        let exported = match self {
            Stream::Plain(_) => return Ok(Vec::new()),
            Stream::Tls(stream) => match &**stream {
                TlsStream::Client(stream) => stream.get_ref().1.export_keying_material(empty, LABEL, None),
                TlsStream::Server(stream) => stream.get_ref().1.export_keying_material(empty, LABEL, None),
            },
        };
        exported.map(Vec::from).map_err(io::Error::other)
    }

    /// Whether the other side has neither said anything nor hung up.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut buffer = ReadBuf::new(&mut byte);
        Pin::new(self).poll_read(&mut context, &mut buffer).is_pending()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.tcp().as_raw_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
