//! From the socket to an open session: TLS, the proof, the welcome.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bellwether_pg::connection::{Startup, Welcome};
use bellwether_types::{ErrorKind, SqlError};
use tokio::net::TcpStream;

use super::{Client, STARTUP_TIMEOUT, too_many};
use crate::lock::tls::Door;
use crate::lock::{Admission, Answer, Begun, Login, Origin, Stream};
use crate::node::Node;

/// A connection as it begins, and the hash of the certificate that its client was shown. `None`: it wants TLS and
/// there is none.
pub(super) async fn open_stream(
    node: &Node,
    stream: TcpStream,
) -> std::io::Result<Option<(Stream, Option<Vec<u8>>)>> {
    stream.set_nodelay(true)?;
    let Some(tls) = &node.lock.tls else {
        return Ok(Some((Stream::Plain(stream), None)));
    };
    if !Stream::begins_with_tls(&stream).await? {
        return Ok(Some((Stream::Plain(stream), None)));
    }
    tls.accept(stream, Door::Pg, true).await.map(Some)
}

impl Client {
    /// The client was told yes, and begins.
    pub(super) async fn start_tls(&mut self) -> std::io::Result<()> {
        self.flush_if(true).await?;
        let (Some(tls), Some(stream)) = (&self.node.lock.tls, self.stream.take()) else {
            return Err(std::io::ErrorKind::NotConnected.into());
        };
        let Stream::Plain(tcp) = stream else {
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        let accepted = tokio::time::timeout(STARTUP_TIMEOUT, tls.accept(tcp, Door::Pg, false)).await;
        let (stream, binding) = accepted.map_err(|_| std::io::ErrorKind::TimedOut)??;
        self.stream = Some(stream);
        self.binding = binding;
        self.connection.tls_started();
        Ok(())
    }

    fn origin(&self) -> Origin {
        let stream = self.stream.as_ref();
        let address = stream.and_then(|stream| stream.tcp().peer_addr().ok());
        Origin {
            // One that has gone already: no rule trusts it, and nobody hears the answer.
            address: address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| {
                address.ip().to_canonical()
            }),
            over_tls: stream.is_some_and(Stream::is_tls),
            binding: self.binding.clone(),
        }
    }

    pub(super) async fn let_in(&mut self, startup: Startup) {
        if self.is_one_too_many {
            return self.refuse(too_many());
        }
        let origin = self.origin();
        match Login::begin(&self.node, &startup, &origin).await {
            Ok(Begun::In(admission)) => self.welcome(admission, &startup),
            Ok(Begun::Ask(login, offer)) => {
                self.connection.challenge(&offer);
                self.login = Some((login, startup));
            }
            Err(error) => self.refuse(error),
        }
    }

    pub(super) async fn take_proof(&mut self, message: &[u8]) {
        let Some((mut login, startup)) = self.login.take() else {
            let message = "no password was asked for";
            return self.refuse(SqlError::new(ErrorKind::Protocol, message));
        };
        match login.handle(&self.node, message).await {
            Ok(Answer::Ask(more)) => {
                self.connection.challenge(&more);
                self.login = Some((login, startup));
            }
            Ok(Answer::In(admission)) => self.welcome(admission, &startup),
            Err(error) => self.refuse(error),
        }
    }

    fn welcome(&mut self, admission: Admission, startup: &Startup) {
        match self.open_session(&admission, startup) {
            Ok((key, in_hot_standby)) => {
                self.connection.accept(&Welcome {
                    key,
                    in_hot_standby,
                    is_superuser: admission.is_superuser,
                    defaults: admission.defaults,
                    signature: admission.signature,
                });
                if let Some(log_format) = &mut self.log_format {
                    let format = *log_format.borrow_and_update();
                    self.connection.settings_mut().set_log_format(format);
                }
                self.permit = Some(admission.permit);
                self.roles = Some(self.node.lock.book.subscribe());
                self.check_role();
            }
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(&mut self, error: SqlError) {
        self.node.metrics.connections_refused.increment();
        self.connection.fail(error);
    }

    /// Ends the session of a role that is dropped or may not log in any more.
    pub(super) fn check_role(&mut self) {
        let Some(roles) = &mut self.roles else { return };
        let roles = roles.borrow_and_update();
        self.connection.settings_mut().set_cluster(&roles.cluster);
        let may_stay = roles.may_stay(self.connection.settings().user());
        drop(roles);
        if !may_stay {
            let message = "terminating connection: its role was dropped or may not log in any more";
            self.connection
                .abort(&SqlError::new(ErrorKind::ShuttingDown, message));
        }
    }
}

/// Whether what the role of a session may do has changed so that it must end.
pub(super) fn must_end(node: &Arc<Node>, user: &str) -> bool {
    !node.lock.book.subscribe().borrow().may_stay(user)
}
