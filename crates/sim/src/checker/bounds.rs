//! I11: queues and disks stay within bounds.

use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::Observation;

/// Transactions waiting for one writer: more are refused.
pub const WAITING_MAX: usize = 64;

/// A run writes a few megabytes; without checkpoints and cuts the files would grow beyond this.
const DISK_BYTES_MAX: u64 = 192 << 20;

pub(super) struct Bounds;

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn observe(&mut self, _: Time, observation: &Observation) -> Verdict {
        let Observation::Load {
            node,
            waiting,
            disk_bytes,
        } = observation
        else {
            return Ok(());
        };
        if *waiting > WAITING_MAX {
            return Err(format!("{waiting} transactions wait at node {node}"));
        }
        if *disk_bytes > DISK_BYTES_MAX {
            return Err(format!("node {node} uses {disk_bytes} bytes of disk"));
        }
        Ok(())
    }
}
