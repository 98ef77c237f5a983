//! Where the nodes of a cluster on this machine listen: three ranges of ports, node *i* at the range's start + i − 1.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use bellwether_server::{Addresses, Member, Standing};
use bellwether_types::NodeId;

use crate::failure::Failure;

/// The most nodes that one command starts. More voters make every commit slower and no cluster safer.
pub const MAX_NODES: u16 = 9;

/// Three ranges of `nodes` ports on loopback that are valid and do not overlap.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    nodes: u16,
    pg: u16,
    http: u16,
    peer: u16,
}

/// The ranges: option, first port.
type Ranges = [(&'static str, u16); 3];

impl Layout {
    /// Refuses ranges that leave 1..=65535 or overlap.
    pub fn new(nodes: u16, pg: u16, http: u16, peer: u16) -> Result<Layout, Failure> {
        let layout = Layout {
            nodes,
            pg,
            http,
            peer,
        };
        let ranges = layout.ranges();
        for (option, first) in ranges {
            check_range(option, first, nodes)?;
        }
        for (at, (option, first)) in ranges.into_iter().enumerate() {
            for (other_option, other_first) in ranges.into_iter().skip(at + 1) {
                if first.abs_diff(other_first) < nodes {
                    return Err(Failure::new(format!(
                        "{option} {first} and {other_option} {other_first} overlap"
                    ))
                    .because(format!(
                        "each names the first of {nodes} ports, one for each node"
                    ))
                    .hint(format!("choose numbers at least {nodes} apart")));
                }
            }
        }
        Ok(layout)
    }

    fn ranges(&self) -> Ranges {
        [
            ("--pg-port", self.pg),
            ("--http-port", self.http),
            ("--peer-port", self.peer),
        ]
    }

    /// The nodes, from 1.
    pub fn members(&self) -> Vec<Member> {
        let at = |first: u16, node: u16| loopback(first + (node - 1));
        (1..=self.nodes)
            .map(|node| Member {
                node: NodeId(u64::from(node)),
                addresses: Addresses {
                    peer: at(self.peer, node),
                    pg: at(self.pg, node),
                    http: at(self.http, node),
                },
                standing: Standing::Voter,
            })
            .collect()
    }

    /// Refuses when a port is taken. Another process can still take one before the node does; the node's own
    /// error then ends up in its log.
    pub fn check_free(&self) -> Result<(), Failure> {
        for (option, first) in self.ranges() {
            for port in first..=first + (self.nodes - 1) {
                TcpListener::bind(loopback(port)).map_err(|error| port_failure(option, port, &error))?;
            }
        }
        Ok(())
    }
}

/// The address of node `node`, from 1, in the range that starts at `first`.
pub fn node_address(option: &str, first: u16, node: u16) -> Result<SocketAddr, Failure> {
    check_range(option, first, node)?;
    Ok(loopback(first + (node - 1)))
}

fn check_range(option: &str, first: u16, nodes: u16) -> Result<(), Failure> {
    let last = u32::from(first) + u32::from(nodes) - 1;
    if first == 0 || last > u32::from(u16::MAX) {
        return Err(
            Failure::new(format!("{option} {first} leaves no room for {nodes} ports"))
                .because("ports go from 1 to 65535, and each node takes the next one")
                .hint(format!("choose a number from 1024 to {}", u16::MAX - nodes + 1)),
        );
    }
    Ok(())
}

fn port_failure(option: &str, port: u16, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("port {port} of 127.0.0.1 cannot be used")).because(error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.hint(format!(
            "stop what listens there (another cluster?), or choose another range with {option}"
        )),
        _ => failure.hint(format!("choose another range with {option}")),
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_i_listens_at_the_start_of_each_range_plus_i_minus_1() {
        let members = Layout::new(3, 5433, 8008, 7433).expect("valid").members();
        assert_eq!(
            members[0].to_string(),
            "1=127.0.0.1:7433,127.0.0.1:5433,127.0.0.1:8008"
        );
        assert_eq!(
            members[2].to_string(),
            "3=127.0.0.1:7435,127.0.0.1:5435,127.0.0.1:8010"
        );
    }

    #[test]
    fn ranges_that_overlap_or_leave_the_ports_are_refused_by_name() {
        let refused = |pg, http, peer| Layout::new(3, pg, http, peer).expect_err("refused").to_string();
        assert!(refused(5433, 5435, 7433).starts_with("error: --pg-port 5433 and --http-port 5435 overlap"));
        assert!(
            refused(5433, 8008, 8006).starts_with("error: --http-port 8008 and --peer-port 8006 overlap")
        );
        assert!(refused(65_534, 8008, 7433).starts_with("error: --pg-port 65534 leaves no room for 3 ports"));
        assert!(refused(5433, 0, 7433).starts_with("error: --http-port 0 leaves no room"));
        Layout::new(3, 65_533, 8008, 8011).expect("ranges side by side, up to the last port");
    }

    #[test]
    fn a_port_in_use_is_named_with_the_option_that_moves_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let failure = port_failure("--pg-port", port, &io::ErrorKind::AddrInUse.into()).to_string();
        assert!(
            failure.contains(&format!("port {port} of 127.0.0.1")),
            "{failure}"
        );
        assert!(failure.contains("--pg-port"), "{failure}");
    }
}
