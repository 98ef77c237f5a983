//! The tokio driver: sockets, threads, clocks around the pure rooms.
