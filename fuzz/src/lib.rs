//! Bytes from outside against every decoder of Bellwether: one module per target, each a plain function over bytes.
//!
//! Promises: a target panics exactly when something is wrong with the product; what it does follows from its input
//! alone. `fuzz_targets/` hands them to libFuzzer, `bin/replay.rs` runs files through them without it, `bin/seed.rs`
//! writes the inputs to begin with. See `docs/fuzzing.md`.

pub mod copy;
pub mod dialect;
pub mod disk;
pub mod functions;
pub mod handshake;
pub mod http;
pub mod log_open;
pub mod log_scan;
pub mod member;
pub mod peer;
pub mod record;
pub mod scram;
pub mod source;
pub mod sql;
pub mod wal;
pub mod wire;

/// Something to feed bytes to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As in `cargo fuzz run NAME`.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 14] = [
    Target {
        name: "wire",
        run: wire::run,
        seeds: wire::seeds,
    },
    Target {
        name: "sql",
        run: sql::run,
        seeds: sql::seeds,
    },
    Target {
        name: "log_scan",
        run: log_scan::run,
        seeds: log_scan::seeds,
    },
    Target {
        name: "log_open",
        run: log_open::run,
        seeds: log_open::seeds,
    },
    Target {
        name: "record",
        run: record::run,
        seeds: record::seeds,
    },
    Target {
        name: "peer",
        run: peer::run,
        seeds: peer::seeds,
    },
    Target {
        name: "member",
        run: member::run,
        seeds: member::seeds,
    },
    Target {
        name: "http",
        run: http::run,
        seeds: http::seeds,
    },
    Target {
        name: "wal",
        run: wal::run,
        seeds: wal::seeds,
    },
    Target {
        name: "copy",
        run: copy::run,
        seeds: copy::seeds,
    },
    Target {
        name: "dialect",
        run: dialect::run,
        seeds: dialect::seeds,
    },
    Target {
        name: "functions",
        run: functions::run,
        seeds: functions::seeds,
    },
    Target {
        name: "handshake",
        run: handshake::run,
        seeds: handshake::seeds,
    },
    Target {
        name: "scram",
        run: scram::run,
        seeds: scram::seeds,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_seed_passes_its_target() {
        for target in TARGETS {
            for (index, seed) in (target.seeds)().iter().enumerate() {
                println!("{} {index}", target.name);
                (target.run)(seed);
            }
        }
    }

    #[test]
    fn what_once_failed_passes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
        for dir in fs::read_dir(root).expect("the directory is kept") {
            let dir = dir.expect("readable").path();
            let name = dir
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a target's name");
            let target = target(name).expect("a directory for each target that ever failed");
            for file in fs::read_dir(&dir).expect("readable") {
                let file = file.expect("readable").path();
                println!("{}", file.display());
                (target.run)(&fs::read(&file).expect("readable"));
            }
        }
    }
}
