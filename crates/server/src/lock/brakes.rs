//! Slows down those who guess passwords: per address and role, and per address.
//!
//! Tries of one key are served one after the other with growing pauses, also when they come on many connections at
//! once. Who knows the password waits in the same line: that is the price, and why the pause is bounded.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Failures that cost nothing: typing errors.
const FREE_FAILURES_OF_A_ROLE: u32 = 3;
/// The same for an address, behind which there may be many people.
const FREE_FAILURES_OF_AN_ADDRESS: u32 = 20;

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Failures are forgotten when there was none for so long.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// Who would have to wait longer is refused at once: connections do not pile up.
/// A try waits for at most this and one pause more: less than the time in which a login must be over.
const LINE_MAX: Duration = Duration::from_secs(4);

/// Keys that are remembered; beyond them the one whose last failure is oldest is forgotten.
const KEYS_MAX: usize = 4096;

type Key = (IpAddr, Option<String>);

#[derive(Debug, Clone, Copy)]
struct Record {
    failures: u32,
    last: Instant,
    /// When the next try is served.
    next: Instant,
}

/// What is remembered of failed logins.
#[derive(Default)]
pub(crate) struct Brakes {
    records: Mutex<BTreeMap<Key, Record>>,
}

/// There were too many failures, and too many tries are waiting already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyFailures;

impl Brakes {
    /// How long this try must wait before it is served.
    pub fn pause(&self, address: IpAddr, role: &str, now: Instant) -> Result<Duration, TooManyFailures> {
        let mut records = self.records.lock().expect("no holder of this lock panics");
        let mut pause = Duration::ZERO;
        for (key, free) in keys(address, role) {
            let Some(record) = records.get_mut(&key) else {
                continue;
            };
            if now.duration_since(record.last) > FORGIVEN_AFTER {
                records.remove(&key);
                continue;
            }
            let Some(excess) = record.failures.checked_sub(free).filter(|excess| *excess > 0) else {
                continue;
            };
            let step = PAUSE_MIN.saturating_mul(1 << excess.min(10)).min(PAUSE_MAX);
            let at = record.next.max(now);
            if at.duration_since(now) > LINE_MAX {
                return Err(TooManyFailures);
            }
            record.next = at + step;
            pause = pause.max(record.next.duration_since(now));
        }
        Ok(pause)
    }

    /// A password was wrong.
    pub fn failed(&self, address: IpAddr, role: &str, now: Instant) {
        let mut records = self.records.lock().expect("no holder of this lock panics");
        for (key, _) in keys(address, role) {
            if records.len() >= KEYS_MAX && !records.contains_key(&key) {
                let oldest = records.iter().min_by_key(|(_, record)| record.last);
                if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                    records.remove(&oldest);
                }
            }
            let record = records.entry(key).or_insert(Record {
                failures: 0,
                last: now,
                next: now,
            });
            record.failures = record.failures.saturating_add(1);
            record.last = now;
        }
    }

    /// A password was right: the role's failures from there were typing errors. The address's stay: otherwise
    /// whoever has one account could guess at others for ever.
    pub fn succeeded(&self, address: IpAddr, role: &str) {
        let [(key, _), _] = keys(address, role);
        self.records
            .lock()
            .expect("no holder of this lock panics")
            .remove(&key);
    }
}

/// The role's key and the address's, with how many failures each has free.
fn keys(address: IpAddr, role: &str) -> [(Key, u32); 2] {
    // Whoever has one address of IPv6 has 2⁶⁴.
    let address = match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    };
    // Longer names belong to no role: one key for all of them.
    let role = if role.len() > 63 {
        String::new()
    } else {
        role.to_owned()
    };
    [
        ((address, Some(role)), FREE_FAILURES_OF_A_ROLE),
        ((address, None), FREE_FAILURES_OF_AN_ADDRESS),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn failed(brakes: &Brakes, times: u32, now: Instant) {
        (0..times).for_each(|_| brakes.failed(HERE, "ada", now));
    }

    #[test]
    fn a_few_failures_cost_nothing_and_more_cost_more_up_to_a_bound() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        failed(&brakes, FREE_FAILURES_OF_A_ROLE, now);
        assert_eq!(brakes.pause(HERE, "ada", now), Ok(Duration::ZERO));
        failed(&brakes, 1, now);
        assert_eq!(brakes.pause(HERE, "ada", now), Ok(PAUSE_MIN * 2));
        failed(&brakes, 12, now);
        let later = now + Duration::from_secs(60);
        assert_eq!(brakes.pause(HERE, "ada", later), Ok(PAUSE_MAX));
    }

    #[test]
    fn tries_at_the_same_time_wait_one_after_the_other_and_then_are_refused() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        failed(&brakes, 15, now);
        assert_eq!(brakes.pause(HERE, "ada", now), Ok(PAUSE_MAX));
        assert_eq!(brakes.pause(HERE, "ada", now), Ok(PAUSE_MAX * 2));
        assert_eq!(brakes.pause(HERE, "ada", now), Err(TooManyFailures));
    }

    #[test]
    fn another_role_and_another_address_do_not_wait() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        failed(&brakes, 15, now);
        assert_eq!(brakes.pause(HERE, "bob", now), Ok(Duration::ZERO));
        let there = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(brakes.pause(there, "ada", now), Ok(Duration::ZERO));
        // Until the address has tried too many roles.
        (0..10).for_each(|role| brakes.failed(HERE, &role.to_string(), now));
        assert!(brakes.pause(HERE, "bob", now).is_ok_and(|pause| !pause.is_zero()));
    }

    #[test]
    fn success_and_time_forgive() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        failed(&brakes, 10, now);
        brakes.succeeded(HERE, "ada");
        assert_eq!(brakes.pause(HERE, "ada", now), Ok(Duration::ZERO));
        failed(&brakes, 10, now);
        let later = now + FORGIVEN_AFTER + Duration::from_secs(1);
        assert_eq!(brakes.pause(HERE, "ada", later), Ok(Duration::ZERO));
    }

    #[test]
    fn memory_is_bounded_whatever_strangers_send() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        for number in 0..u32::try_from(KEYS_MAX).expect("small") {
            brakes.failed(
                IpAddr::V4(number.into()),
                &"x".repeat(1000),
                now + Duration::from_micros(number.into()),
            );
        }
        let records = brakes.records.lock().expect("no panic");
        assert!(records.len() <= KEYS_MAX);
        assert!(
            records
                .keys()
                .all(|(_, role)| role.as_ref().is_none_or(|role| role.len() < 64))
        );
    }

    #[test]
    fn all_addresses_of_one_network_of_ipv6_are_one() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        let address = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        (0..10).for_each(|last| brakes.failed(address(last), "ada", now));
        assert!(
            brakes
                .pause(address(99), "ada", now)
                .is_ok_and(|pause| !pause.is_zero())
        );
    }
}
