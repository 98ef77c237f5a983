//! `replay TARGET [PATH…]`: runs files, and all files in directories, through a target; without a path its seeds.
//!
//! Ends with 1 when an input fails, after all were tried, and names each.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io, panic};

use bellwether_fuzz::{TARGETS, Target, target};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(target) = arguments.next().and_then(|name| target(&name)) else {
        let names = TARGETS.map(|target| target.name).join(", ");
        eprintln!("replay TARGET [PATH…]; the targets: {names}");
        return ExitCode::from(2);
    };
    let paths: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let inputs = match inputs(target, &paths) {
        Ok(inputs) => inputs,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let failed = inputs
        .iter()
        .filter(|(name, input)| !passes(target, name, input))
        .count();
    println!("{}: {} inputs, {failed} failed", target.name, inputs.len());
    ExitCode::from(u8::from(failed > 0))
}

type Input = (String, Vec<u8>);

fn inputs(target: Target, paths: &[PathBuf]) -> io::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        read(path, &mut inputs)?;
    }
    if paths.is_empty() {
        let seeds = (target.seeds)().into_iter().enumerate();
        inputs.extend(seeds.map(|(index, seed)| (format!("seed-{index}"), seed)));
    }
    Ok(inputs)
}

fn read(path: &Path, inputs: &mut Vec<Input>) -> io::Result<()> {
    if path.is_dir() {
        let mut names = fs::read_dir(path)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        return names.iter().try_for_each(|name| read(name, inputs));
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    inputs.push((path.display().to_string(), fs::read(path).map_err(named)?));
    Ok(())
}

fn passes(target: Target, name: &str, input: &[u8]) -> bool {
    let result = panic::catch_unwind(|| (target.run)(input));
    if result.is_err() {
        eprintln!("{name} failed");
    }
    result.is_ok()
}
