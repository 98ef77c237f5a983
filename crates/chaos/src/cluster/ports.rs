//! Free ports for nodes. Proxies take theirs from the system and keep them; a node is told its ports before it starts,
//! and again after it was killed.

use std::net::{Ipv4Addr, TcpListener};

use crate::failure::Failure;

/// Ports below those that systems hand out by themselves (Linux: from 32768), so that no connection takes one between
/// its being found free and its being used.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// The first of `count` ports in a row that nothing listens at. Another process can still take one; then its node ends
/// with that reason in its log.
pub fn free_ports(count: u16) -> Result<u16, Failure> {
    // Runs side by side begin at different places of a circle that is as long for every count: two would meet otherwise.
    let begin = std::process::id().wrapping_mul(193) % PORTS.len() as u32;
    let places = (0..PORTS.len() as u32)
        .step_by(count.into())
        .map(|step| (begin + step) % PORTS.len() as u32)
        .filter(|place| place + u32::from(count) <= PORTS.len() as u32);
    let mut firsts = places.map(|place| PORTS.start + place as u16);
    let is_free = |first: &u16| {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let bound: Result<Vec<_>, _> = (*first..*first + count).map(bind).collect();
        bound.is_ok()
    };
    firsts.find(is_free).ok_or_else(|| {
        let range = format!("they are looked for from {} to {}", PORTS.start, PORTS.end);
        Failure::new(format!("there are no {count} free ports in a row")).because(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_free() {
        let first = free_ports(3).expect("some are");
        for port in first..first + 3 {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
        }
    }
}
