//! One client's way in: the rule, the proof, the role, the database, the limits; in this order, as in PostgreSQL.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_pg::backend::Authentication;
use bellwether_pg::connection::Startup;
use bellwether_pg::scram::{Exchange, NONCE_BYTES, Step, Verifier};
use bellwether_types::{DatabaseId, ErrorKind, SqlError};

use super::book::{ConnectionPermit, Role, Roles};
use super::brakes::TooManyFailures;
use super::rules::Method;
use crate::node::Node;
use crate::random::{no_randomness, random_array};
use crate::replica::unix_ms;

/// Where a client comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub address: IpAddr,
    pub over_tls: bool,
    /// The hash of the certificate that it was shown.
    pub binding: Option<Vec<u8>>,
}

/// A client that is let in.
pub(crate) struct Admission {
    pub user: String,
    pub database: DatabaseId,
    pub is_superuser: bool,
    pub defaults: Vec<(String, String)>,
    /// The server's proof, if the client gave one.
    pub signature: Option<Vec<u8>>,
    pub permit: ConnectionPermit,
}

/// What becomes of a client that has said who it is.
pub(crate) enum Begun {
    /// It must prove it.
    Ask(Box<Login>, Authentication),
    /// It comes in.
    In(Admission),
}

/// A login under way.
pub(crate) struct Login {
    startup: Startup,
    address: IpAddr,
    exchange: Exchange,
}

impl Login {
    /// Decides which proof is needed.
    pub async fn begin(node: &Node, startup: &Startup, origin: &Origin) -> Result<Begun, SqlError> {
        let roles = roles(node).await?;
        let Startup { user, database, .. } = startup;
        let rules = &node.config.rules;
        match rules.method(origin.address, origin.over_tls, user, database) {
            Some(Method::Trust) => Ok(Begun::In(admit(node, &roles, startup, None)?)),
            Some(Method::Scram) => {
                let verifier = roles.roles.get(user).and_then(usable_verifier);
                let is_known = verifier.is_some();
                let verifier = verifier.unwrap_or_else(|| Verifier::mock(&node.lock.mock_key, user));
                let nonce = random_array::<NONCE_BYTES>().map_err(no_randomness)?;
                let exchange = Exchange::new(verifier, is_known, nonce, origin.binding.clone());
                let offer = exchange.offer();
                let login = Login {
                    startup: startup.clone(),
                    address: origin.address,
                    exchange,
                };
                Ok(Begun::Ask(Box::new(login), offer))
            }
            Some(Method::Reject) => Err(no_rule("pg_hba rejects connection", startup, origin)),
            None => Err(no_rule("no pg_hba entry", startup, origin)),
        }
    }

    /// Takes the client's next message.
    pub async fn handle(&mut self, node: &Node, message: &[u8]) -> Result<Answer, SqlError> {
        let user = &self.startup.user;
        if self.exchange.awaits_proof() {
            // Now, and not before the exchange: guesses that come all at once have all begun before the first fails.
            slow_down(node, self.address, user).await?;
        }
        match self.exchange.handle(message)? {
            Step::Ask(ask) => Ok(Answer::Ask(ask)),
            Step::Proven { signature } => {
                node.lock.brakes.succeeded(self.address, user);
                let roles = roles(node).await?;
                Ok(Answer::In(admit(node, &roles, &self.startup, Some(signature))?))
            }
            Step::Refused => {
                node.lock.brakes.failed(self.address, user, Instant::now());
                tracing::info!(user, address = %self.address, "a login failed: wrong password");
                Err(wrong_password(user))
            }
        }
    }
}

/// To a client's proof.
pub(crate) enum Answer {
    /// More of it.
    Ask(Authentication),
    /// Enough of it.
    In(Admission),
}

pub(super) async fn roles(node: &Node) -> Result<Arc<Roles>, SqlError> {
    let system = node.system();
    node.lock.book.read(system).await
}

/// Waits as long as failures before this try have earned.
async fn slow_down(node: &Node, address: IpAddr, user: &str) -> Result<(), SqlError> {
    match node.lock.brakes.pause(address, user, Instant::now()) {
        Ok(Duration::ZERO) => Ok(()),
        Ok(pause) => {
            tokio::time::sleep(pause).await;
            Ok(())
        }
        Err(TooManyFailures) => {
            let message = "too many failed logins from this address";
            let error = SqlError::new(ErrorKind::InvalidAuthorization, message);
            Err(error.with_hint("Try again in some seconds."))
        }
    }
}

/// What the password is checked with, unless it is not valid any more.
pub(super) fn usable_verifier(role: &Role) -> Option<Verifier> {
    let now = (unix_ms() / 1000) as i64;
    let is_valid = role.valid_until.is_none_or(|until| now < until);
    role.verifier.clone().filter(|_| is_valid)
}

fn admit(
    node: &Node,
    roles: &Roles,
    startup: &Startup,
    signature: Option<Vec<u8>>,
) -> Result<Admission, SqlError> {
    let user = &startup.user;
    let Some(role) = roles.roles.get(user) else {
        let message = format!("role \"{user}\" does not exist");
        return Err(SqlError::new(ErrorKind::InvalidAuthorization, message)
            .with_hint("A fresh cluster has the role postgres."));
    };
    if !role.login {
        let message = format!("role \"{user}\" is not permitted to log in");
        return Err(SqlError::new(ErrorKind::InvalidAuthorization, message));
    }
    let database = roles.database_for(user, role, &startup.database)?;
    let mut defaults = roles.defaults.clone();
    if let Some(database) = roles.databases.get(&startup.database) {
        defaults.extend(database.settings.clone());
    }
    defaults.extend(role.settings.clone());
    Ok(Admission {
        user: user.clone(),
        database,
        is_superuser: role.superuser,
        defaults: defaults.into_iter().collect(),
        signature,
        permit: node.lock.book.admit(user, role)?,
    })
}

/// 28P01, whatever the reason: unknown, without a password, expired, wrong.
fn wrong_password(user: &str) -> SqlError {
    let message = format!("password authentication failed for user \"{user}\"");
    SqlError::new(ErrorKind::InvalidPassword, message)
}

fn no_rule(what: &str, startup: &Startup, origin: &Origin) -> SqlError {
    let encryption = if origin.over_tls {
        "SSL encryption"
    } else {
        "no encryption"
    };
    let message = format!(
        "{what} for host \"{}\", user \"{}\", database \"{}\", {encryption}",
        origin.address, startup.user, startup.database
    );
    let error = SqlError::new(ErrorKind::InvalidAuthorization, message);
    if origin.over_tls {
        error
    } else {
        error.with_hint("By default other machines need TLS: connect with sslmode=require or better.")
    }
}
