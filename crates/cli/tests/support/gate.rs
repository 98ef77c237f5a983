//! A way between two nodes that a test can hold: bytes come through until so many have come the one way.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Listens on loopback and hands on to one address, both ways.
pub struct Gate {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy)]
struct State {
    /// So many bytes may still come from the other side.
    left: u64,
    /// Grows when all connections are to break.
    broken: u64,
}

impl Gate {
    /// Lets so many bytes through from `to`, of all connections together.
    pub async fn open(to: SocketAddr, bytes: u64) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(watch::Sender::new(State {
            left: bytes,
            broken: 0,
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, Arc::clone(&shared)));
            }
        });
        Gate { address, state }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets so many more through.
    pub fn allow(&self, bytes: u64) {
        self.state
            .send_modify(|state| state.left = state.left.saturating_add(bytes));
    }

    /// Breaks all connections; new ones are carried as before.
    pub fn break_all(&self) {
        self.state.send_modify(|state| state.broken += 1);
    }
}

/// Until either side ends, or all are broken.
async fn carry(near: TcpStream, to: SocketAddr, state: Arc<watch::Sender<State>>) {
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let mut watched = state.subscribe();
    let broken = watched.borrow().broken;
    let (mut near_out, mut near_in) = near.into_split();
    let (mut far_out, mut far_in) = far.into_split();
    let there = async { tokio::io::copy(&mut near_out, &mut far_in).await.map(drop) };
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        let mut open = state.subscribe();
        loop {
            let count = far_out.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let mut taken = 0;
                state.send_modify(|state| {
                    taken = state.left.min(rest.len() as u64);
                    state.left -= taken;
                });
                let (now, later) = rest.split_at(taken as usize);
                near_in.write_all(now).await?;
                rest = later;
                if !rest.is_empty() && open.wait_for(|state| state.left > 0).await.is_err() {
                    return Ok::<(), std::io::Error>(());
                }
            }
        }
    };
    // How it ended shows at both ends: the sockets are dropped.
    tokio::select! {
        _ = there => {}
        _ = back => {}
        _ = watched.wait_for(|state| state.broken > broken) => {}
    }
}
