//! The state of a supervised cluster, owned by one loop: which nodes run, and what was told about them.

use std::time::{Duration, Instant};

use bellwether_types::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::time;

use super::child::{Order, Program, describe, last_words, tend};
use super::roles::{self, Answer, Roles};
use crate::failure::Failure;
use crate::output::{plain_table, say};

/// How long after its death a node is started again; doubles with each death in a row.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// The longest that a node which keeps dying is left alone.
const RESTART_AFTER_AT_MOST: Duration = Duration::from_secs(30);
/// A node that has run for so long has recovered: its next death is a first one.
const RECOVERED_AFTER: Duration = Duration::from_secs(30);

/// What happens to nodes.
pub enum Event {
    /// A child has ended, as described.
    Exited(Incarnation, String),
    /// It is time to start a node again.
    RestartDue(usize),
}

/// One run of a node's process.
pub struct Incarnation {
    /// Its place in the list of members.
    at: usize,
    node: NodeId,
    /// How long the log was when it started.
    log_bytes: u64,
}

/// One node, as the supervisor knows it.
struct Node {
    /// The process's number while it runs.
    pid: Option<u32>,
    started: Instant,
    deaths_in_a_row: u32,
    /// Whether its return after a death has still to be told.
    awaited: bool,
}

/// Starts, watches and stops the nodes.
pub struct Supervisor {
    program: Program,
    restarts: bool,
    nodes: Vec<Node>,
    roles: Roles,
    ready: watch::Sender<bool>,
    progress: String,
    orders: watch::Sender<Order>,
    events: mpsc::Sender<Event>,
}

impl Supervisor {
    /// Starts every node.
    pub fn start(
        program: Program,
        restarts: bool,
        events: mpsc::Sender<Event>,
    ) -> Result<Supervisor, Failure> {
        let node = |_| Node {
            pid: None,
            started: Instant::now(),
            deaths_in_a_row: 0,
            awaited: false,
        };
        let nodes = program.members().iter().map(node).collect();
        let mut supervisor = Supervisor {
            program,
            restarts,
            nodes,
            roles: Roles::default(),
            ready: watch::Sender::new(false),
            progress: String::new(),
            orders: watch::Sender::new(Order::Run),
            events,
        };
        for at in 0..supervisor.nodes.len() {
            supervisor.spawn(at)?;
        }
        Ok(supervisor)
    }

    /// Whether all nodes have been up at once since the start.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Whether any node's process is there.
    pub fn is_any_running(&self) -> bool {
        self.nodes.iter().any(|node| node.pid.is_some())
    }

    /// Asks all nodes to stop.
    pub fn terminate(&self) {
        self.orders.send_replace(Order::Terminate);
    }

    /// Kills all nodes.
    pub fn kill(&self) {
        self.orders.send_replace(Order::Kill);
    }

    /// Tells of a death and sees to the restart. An error when no node is left and none will come back.
    pub fn handle_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Exited(which, how) => self.handle_exit(which, &how),
            Event::RestartDue(at) => match self.spawn(at) {
                Ok(()) => {
                    let (node, pid) = (
                        self.program.members()[at].node,
                        self.nodes[at].pid.unwrap_or_default(),
                    );
                    say(format_args!("node {node} is started again (pid {pid})"));
                    Ok(())
                }
                Err(failure) => {
                    say(failure);
                    self.restart_later(at);
                    Ok(())
                }
            },
        }
    }

    /// A node that ends now was asked to.
    pub fn handle_event_while_stopping(&mut self, event: Event) {
        if let Event::Exited(which, _) = event {
            self.nodes[which.at].pid = None;
        }
    }

    /// Tells what the nodes' answers have of news: progress until all are up, then the table, then changes.
    pub fn handle_answers(&mut self, answers: &[Answer]) {
        if *self.ready.borrow() {
            self.tell_returns(answers);
            if let Some(news) = self.roles.handle_answers(answers) {
                say(news);
            }
        } else if roles::all_ready(answers) {
            self.ready.send_replace(true);
            self.roles.handle_answers(answers);
            self.nodes.iter_mut().for_each(|node| node.awaited = false);
            self.print_table(answers);
        } else {
            let progress = roles::progress(answers);
            if progress != self.progress {
                say(&progress);
                self.progress = progress;
            }
        }
    }

    fn spawn(&mut self, at: usize) -> Result<(), Failure> {
        let member = self.program.members()[at];
        let log = self.program.log_path(at);
        let which = Incarnation {
            at,
            node: member.node,
            log_bytes: std::fs::metadata(&log).map_or(0, |metadata| metadata.len()),
        };
        let child = self.program.spawn(at).map_err(|error| {
            Failure::new(format!("node {} cannot be started", member.node))
                .because(error)
                .hint(format!("its log would be {}", log.display()))
        })?;
        self.nodes[at].pid = child.id();
        self.nodes[at].started = Instant::now();
        let (orders, events) = (self.orders.subscribe(), self.events.clone());
        tokio::spawn(async move {
            let how = tend(child, orders)
                .await
                .map_or_else(|error| format!("it is lost: {error}"), describe);
            // The loop that receives is gone only when the whole program ends.
            let _ = events.send(Event::Exited(which, how)).await;
        });
        Ok(())
    }

    fn handle_exit(&mut self, which: Incarnation, how: &str) -> Result<(), Failure> {
        let log = self.program.log_path(which.at);
        let node = &mut self.nodes[which.at];
        let pid = node.pid.take().unwrap_or_default();
        if node.started.elapsed() >= RECOVERED_AFTER {
            node.deaths_in_a_row = 0;
        }
        node.deaths_in_a_row += 1;
        node.awaited = true;
        say(format_args!(
            "node {} (pid {pid}) died: {how}; its log: {}",
            which.node,
            log.display()
        ));
        if let Some(words) = last_words(&log, which.log_bytes) {
            say(format_args!("  {}", words.replace('\n', "\n  ")));
        }
        if self.restarts {
            self.restart_later(which.at);
            return Ok(());
        }
        if self.is_any_running() {
            return Ok(());
        }
        Err(Failure::new("every node has died")
            .hint("start the cluster again; without --no-restart it starts them itself"))
    }

    fn restart_later(&mut self, at: usize) {
        let doublings = self.nodes[at].deaths_in_a_row.saturating_sub(1).min(8);
        let wait = (RESTART_AFTER * 2u32.pow(doublings)).min(RESTART_AFTER_AT_MOST);
        say(format_args!(
            "node {} starts again in {} s",
            self.program.members()[at].node,
            wait.as_secs()
        ));
        let events = self.events.clone();
        tokio::spawn(async move {
            time::sleep(wait).await;
            // As above.
            let _ = events.send(Event::RestartDue(at)).await;
        });
    }

    fn tell_returns(&mut self, answers: &[Answer]) {
        for (node, answer) in self.nodes.iter_mut().zip(answers) {
            let Ok(status) = answer else { continue };
            if let Some(database) = status.database(roles::DATABASE)
                && node.pid.is_some()
                && std::mem::take(&mut node.awaited)
            {
                say(format_args!("node {} is back, as {}", status.node, database.role));
            }
        }
    }

    fn print_table(&self, answers: &[Answer]) {
        let mut table = plain_table(["node", "role", "psql", "http", "pid"]);
        for ((member, node), answer) in self.program.members().iter().zip(&self.nodes).zip(answers) {
            let role = answer
                .as_ref()
                .ok()
                .and_then(|status| status.database(roles::DATABASE));
            table.add_row([
                member.node.to_string(),
                role.map_or("-".to_owned(), |database| database.role.to_string()),
                format!(
                    "psql -h {} -p {} -U postgres postgres",
                    member.addresses.pg.ip(),
                    member.addresses.pg.port()
                ),
                format!("http://{}", member.addresses.http),
                node.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            ]);
        }
        say(format_args!("\n{}\n", table.trim_fmt()));
        say(
            "Ctrl-C stops the cluster; started again it has its data. Logs: node-N/log.txt in the data directory.",
        );
    }
}
