//! `seed [DIR]`: writes each target's first inputs to `DIR/TARGET/seed-N`, by default `corpus`.

use std::path::PathBuf;
use std::{env, fs, io};

use bellwether_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args().nth(1).unwrap_or("corpus".to_owned()));
    for target in TARGETS {
        let dir = root.join(target.name);
        fs::create_dir_all(&dir)?;
        let seeds = (target.seeds)();
        println!("{}: {} inputs", dir.display(), seeds.len());
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(dir.join(format!("seed-{index}")), seed)?;
        }
    }
    Ok(())
}
