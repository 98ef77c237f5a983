//! Time in ticks, and the relations between the numbers.

/// One tick. Short enough that a heartbeat is several, long enough that an idle group costs nothing.
pub const TICK_MS: u64 = 10;

/// A leader's heartbeat every 50 ms.
pub const HEARTBEAT_TICKS: usize = 5;

/// The shortest election timeout, 500 ms: ten heartbeats, so that neither a lost packet nor a scheduling delay
/// of a busy machine starts an election; and a dead leader is replaced within about a second.
pub const ELECTION_TICKS: usize = 50;

/// Nobody votes for another within `ELECTION_TICKS` of hearing a leader: who stands up just then would be refused by
/// those that heard it a tick later, and wait once more. 30 ms later the others' time has passed too.
pub(crate) const ELECTION_MARGIN_TICKS: usize = 3;

/// The voter of rank r (its place among the voters by id) waits `ELECTION_TICKS + ELECTION_MARGIN_TICKS + r *
/// ELECTION_SPREAD_TICKS`.
/// Distinct by construction: equal timeouts would split the vote for ever, as each reset draws the same value.
/// 100 ms is enough for a vote's round trip and fsync before the next candidate stands up.
pub const ELECTION_SPREAD_TICKS: usize = 10;

/// A snapshot offered and not answered is offered again every 2 s.
pub(crate) const SNAPSHOT_REOFFER_TICKS: u64 = 200;

const _: () = assert!(ELECTION_TICKS >= 10 * HEARTBEAT_TICKS);
const _: () = assert!(ELECTION_SPREAD_TICKS > HEARTBEAT_TICKS);
