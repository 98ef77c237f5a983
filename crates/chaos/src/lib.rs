//! Breaks real clusters and judges what their clients were told.
//!
//! It touches public doors only: it starts the built program as `bellwether serve`, speaks PostgreSQL's protocol and
//! asks `/status`. Between the nodes, and between clients and nodes, stand proxies of its own that can be cut.
//!
//! A run is evidence and judgement apart: clients write a [`history`] while a nemesis breaks things, and a
//! [`checker`], a pure function, says what in it cannot have happened. A history can be judged again, by others too:
//! `docs/histories.md` has its format. What there is to run, and what is judged, is in `docs/chaos.md`.

pub mod checker;
pub mod cluster;
pub mod command;
pub mod failover;
pub mod failure;
pub mod history;
pub mod link;
pub mod load;
pub mod nemesis;
pub mod patience;
pub mod random;
pub mod recorder;
pub mod report;
pub mod run;
pub mod session;
pub mod workload;
