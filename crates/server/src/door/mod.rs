//! The front doors: sockets around the pure `pg` and `http` rooms.

mod http;
mod pg;

pub(crate) use http::accept_http;
pub(crate) use pg::accept_pg;
