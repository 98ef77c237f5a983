//! Free ports for servers of this run's own.

use std::net::{Ipv4Addr, TcpListener};

use crate::failure::Failure;

/// Ports below those that systems hand out by themselves (Linux: from 32768).
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// The first of `count` ports in a row that nothing listens at. Another process can still take one; then `up` says so.
pub fn free_ports(count: u16) -> Result<u16, Failure> {
    let room = PORTS.end - PORTS.start - count;
    // Runs side by side begin at different places.
    let begin = (std::process::id().wrapping_mul(97) % u32::from(room)) as u16;
    let firsts = (0..room)
        .step_by(count.into())
        .map(|step| PORTS.start + (begin + step) % room);
    firsts
        .into_iter()
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
