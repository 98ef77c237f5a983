//! Free ports for servers of this run's own.

use std::net::{Ipv4Addr, TcpListener};

use crate::failure::Failure;

/// Ports below those that systems hand out by themselves (Linux: from 32768).
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// The first of `count` ports in a row that nothing listens at. Another process can still take one; then `up` says so.
pub fn free_ports(count: u16) -> Result<u16, Failure> {
    // Runs side by side begin at different places of a circle that is as long for every count: two would meet otherwise.
    let begin = std::process::id().wrapping_mul(97) % PORTS.len() as u32;
    let places = (0..PORTS.len() as u32)
        .step_by(count.into())
        .map(|step| (begin + step) % PORTS.len() as u32)
        .filter(|place| place + u32::from(count) <= PORTS.len() as u32);
    places
        .map(|place| PORTS.start + place as u16)
        .find(|first| {
            let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            (*first..*first + count)
                .map(bind)
                .collect::<Result<Vec<_>, _>>()
                .is_ok()
        })
        .ok_or_else(|| {
            Failure::new(format!("there are no {count} free ports in a row")).because(format!(
                "they are looked for from {} to {}",
                PORTS.start, PORTS.end
            ))
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
