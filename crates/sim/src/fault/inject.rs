//! Makes faults happen to a world.

use bellwether_types::NodeId;

use super::{CrashPoint, Fault, Planned, Who};
use crate::clock::Time;
use crate::network::{Link, Quality};
use crate::world::{World, WorldEvent};

/// While there is noise.
const NOISE: Quality = Quality {
    loss_per_mille: 150,
    doubled_per_mille: 50,
    delay_us: 12_000,
};

/// How many times slower a slow disk is: from sluggish to stalled.
const SLOW: [u64; 3] = [20, 100, 500];

impl World {
    /// It begins; its end is planned.
    pub(crate) fn begin_fault(&mut self, planned: Planned) {
        let Planned { until, fault, .. } = planned;
        match fault {
            Fault::Kill(who) => {
                let node = self.choose(who);
                self.stop_node(node, "killed");
                self.at(until, WorldEvent::Start(node));
            }
            Fault::PowerLoss(who) => {
                let node = self.choose(who);
                self.lose_power(node);
                self.at(until, WorldEvent::Start(node));
            }
            Fault::KillAll => self.all(|world, node| {
                world.stop_node(node, "killed");
                world.start_soon(node, until);
            }),
            Fault::PowerLossAll => self.all(|world, node| {
                world.lose_power(node);
                world.start_soon(node, until);
            }),
            Fault::Pause(who) => {
                let node = self.choose(who);
                self.pause(node);
                self.at(until, WorldEvent::Resume(node));
            }
            Fault::Isolate(who) => self.cut_off(who, until, |node, from, to| from == node || to == node),
            Fault::IsolateThenPowerLoss(who) => {
                self.cut_off(who, until, |node, from, to| from == node || to == node);
                self.arm(CrashPoint::LogReplaced);
            }
            Fault::Mute(who) => self.cut_off(who, until, |node, from, _| from == node),
            Fault::Deaf(who) => self.cut_off(who, until, |node, _, to| to == node),
            Fault::Split => {
                let one = self.choose(Who::Any);
                let other = self.choose(Who::Any);
                let links = self.links(|from, to| (from, to) == (one, other) || (to, from) == (one, other));
                self.cut(links, until);
            }
            Fault::Noise => {
                let links = self.links(|_, _| true);
                self.network.worsen(&links, NOISE);
                self.at(until, WorldEvent::Mend(links));
            }
            Fault::FullDisk(_) | Fault::FailSync(_) | Fault::SlowDisk(_) => {
                self.begin_disk_fault(fault, until)
            }
            Fault::RotInLog(_) | Fault::RotInDatabase(_) => self.begin_disk_fault(fault, until),
            Fault::SlowDiskThenPowerLoss(who) => self.slow_then_power_loss(who, until),
            Fault::PowerLossAt(point) => self.arm(point),
            Fault::Transfer => {
                if let Some(leader) = self.leader() {
                    let to = self.choose(Who::Follower);
                    self.transfer(leader, to);
                }
            }
            Fault::Members(change) => self.order(change),
            Fault::ClockJump(who) => {
                let node = self.choose(who);
                let by_ms = self.random.range(0, 1_200_000) as i64 - 600_000;
                self.jump_clock(node, by_ms);
            }
        }
    }

    fn begin_disk_fault(&mut self, fault: Fault, until: Time) {
        match fault {
            Fault::FullDisk(who) => {
                let node = self.choose(who);
                self.disk(node).set_full(true);
                self.at(until, WorldEvent::DiskHasRoom(node));
            }
            Fault::FailSync(who) => {
                let node = self.choose(who);
                let random = self.random.fork();
                self.disk(node).fail_syncs(1, random);
            }
            Fault::SlowDisk(who) => {
                let (node, factor) = (self.choose(who), *self.random.pick(&SLOW));
                self.slow_disk(node, factor);
                self.at(until, WorldEvent::DiskIsFast(node));
            }
            Fault::RotInLog(who) => {
                let node = self.choose(who);
                self.rot_log(node);
                // A log is read from front to end at a start, and else seldom.
                if self.random.per_mille(600) {
                    self.stop_node(node, "killed");
                    let again = self.now().plus_us(self.random.range(100_000, 1_000_000));
                    self.at(again, WorldEvent::Start(node));
                }
                self.at(until, WorldEvent::RotHealed(node));
            }
            Fault::RotInDatabase(who) => {
                let node = self.choose(who);
                self.rot_database(node);
            }
            _ => {}
        }
    }

    fn cut_off(&mut self, who: Who, until: Time, which: impl Fn(NodeId, NodeId, NodeId) -> bool) {
        let node = self.choose(who);
        let links = self.links(|from, to| which(node, from, to));
        self.cut(links, until);
    }

    /// The power fails after a moment, or when SQLite is found ahead of the log.
    fn slow_then_power_loss(&mut self, who: Who, until: Time) {
        let (node, factor) = (self.choose(who), *self.random.pick(&SLOW));
        self.slow_disk(node, factor);
        self.at(until, WorldEvent::DiskIsFast(node));
        match self.random.range(0, 5) {
            0 | 1 => return self.arm(CrashPoint::CheckpointedAhead),
            2 | 3 => return self.arm(CrashPoint::SqliteAhead),
            _ => {}
        }
        let cut_at = self.now().plus_us(self.random.range(100_000, 900_000));
        self.at(cut_at, WorldEvent::PowerLoss(node));
        self.at(until.max(cut_at.plus_us(1)), WorldEvent::Start(node));
    }

    fn all(&mut self, each: impl Fn(&mut World, NodeId)) {
        for node in self.node_ids() {
            each(self, node);
        }
    }

    fn start_soon(&mut self, node: NodeId, until: Time) {
        let at = until.plus_us(self.random.range(0, 500_000));
        self.at(at, WorldEvent::Start(node));
    }

    fn cut(&mut self, links: Vec<Link>, until: Time) {
        self.network.cut(&links);
        self.at(until, WorldEvent::Mend(links));
    }

    fn links(&self, which: impl Fn(NodeId, NodeId) -> bool) -> Vec<Link> {
        let nodes = self.node_ids();
        let pairs = nodes
            .iter()
            .flat_map(|from| nodes.iter().map(move |to| (*from, *to)));
        pairs
            .filter(|(from, to)| from != to && which(*from, *to))
            .collect()
    }

    pub(crate) fn choose(&mut self, who: Who) -> NodeId {
        let leader = self.leader();
        let candidates: Vec<NodeId> = match (who, leader) {
            (Who::Leader, Some(leader)) => vec![leader],
            (Who::Follower, Some(leader)) => self
                .node_ids()
                .into_iter()
                .filter(|node| *node != leader)
                .collect(),
            _ => self.node_ids(),
        };
        *self.random.pick(&candidates)
    }
}
