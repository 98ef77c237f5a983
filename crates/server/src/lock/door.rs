//! What a node's doors share to decide who comes in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_pg::scram::Verifier;

use super::book::{RoleBook, follow};
use super::brakes::{Brakes, TooManyFailures};
use super::login::{roles, usable_verifier};
use super::secret::Secret;
use super::tls::Tls;
use crate::node::Node;

/// A node's.
pub(crate) struct Lock {
    pub book: RoleBook,
    pub brakes: Brakes,
    /// Where clients and peers of other machines may come in, or a certificate was given.
    pub tls: Option<Tls>,
    /// Of the verifiers of roles that do not exist.
    pub mock_key: [u8; 32],
    /// Passwords that came in clear are checked one by one: each costs milliseconds of a core.
    checking: tokio::sync::Mutex<()>,
}

impl Lock {
    pub fn new(secret: &Secret, tls: Option<Tls>) -> Lock {
        Lock {
            book: RoleBook::default(),
            brakes: Brakes::default(),
            tls,
            mock_key: secret.mock_key(),
            checking: tokio::sync::Mutex::default(),
        }
    }

    /// Keeps open sessions up to date with their roles, until the node stops.
    pub async fn follow(node: Arc<Node>) {
        follow(node).await;
    }
}

/// Whether name and password are of a role that may see status and metrics: a superuser or a member of
/// `pg_monitor`. Slowed down as logins are.
pub(crate) async fn is_monitor(node: &Node, address: IpAddr, user: &str, password: String) -> bool {
    let Ok(roles) = roles(node).await else {
        return false;
    };
    let mut checking = node.lock.checking.lock().await;
    match node.lock.brakes.pause(address, user, Instant::now()) {
        Ok(Duration::ZERO) => {}
        Ok(pause) => {
            drop(checking);
            tokio::time::sleep(pause).await;
            checking = node.lock.checking.lock().await;
        }
        Err(TooManyFailures) => return false,
    }
    let role = roles.roles.get(user).filter(|role| role.login);
    let verifier = role.and_then(usable_verifier);
    let is_known = verifier.is_some();
    let verifier = verifier.unwrap_or_else(|| Verifier::mock(&node.lock.mock_key, user));
    // Milliseconds of work, which heartbeats shall not wait for.
    let compared = node
        .clients
        .spawn_blocking(move || verifier.is_of(&password))
        .await;
    if !(compared.unwrap_or(false) & is_known) {
        node.lock.brakes.failed(address, user, Instant::now());
        return false;
    }
    node.lock.brakes.succeeded(address, user);
    drop(checking);
    role.is_some_and(super::book::Role::is_monitor)
}
