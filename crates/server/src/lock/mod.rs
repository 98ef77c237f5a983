//! The lock: who comes in, by which proof, and what they may do.
//!
//! Roles and grants are rows of the system database, changed through its leader ([`change`]) and read by every node
//! from its own replica ([`book`]). [`rules`] say which proof a connection needs, [`login`] takes it, [`brakes`]
//! slow down those who guess. [`secret`] is what nodes prove to one another, [`tls`] wraps what leaves the machine.
//! Promises: a password in clear is hashed at the node that receives it and is kept nowhere; what is compared is
//! compared in constant time; memory does not grow with what strangers send.
//! Does not: protect from whoever can read a node's files or memory.

mod book;
mod brakes;
mod change;
mod door;
mod login;
pub(crate) mod rules;
pub(crate) mod secret;
mod stream;
pub(crate) mod tls;

pub(crate) use book::{ConnectionPermit, Rights, Roles};
pub(crate) use change::change_role;
pub(crate) use door::{Lock, is_monitor};
pub(crate) use login::{Admission, Answer, Begun, Login, Origin};
pub(crate) use stream::Stream;
