//! Verdicts for people and programs.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::checker::Verdict;
use crate::history::History;

/// Violations of one history that are printed in full: the first of each kind.
const SHOWN_VIOLATIONS: usize = 6;

/// A history and what was found in it.
#[derive(Debug, Serialize)]
pub struct Judged {
    file: PathBuf,
    seed: u64,
    faults: usize,
    good: bool,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Judged {
    /// Of a file.
    pub fn new(file: &Path, history: &History, verdict: Verdict) -> Judged {
        Judged {
            file: file.to_owned(),
            seed: history.header.seed,
            faults: history.faults.iter().filter(|fault| fault.f != "heal").count(),
            good: verdict.is_good(),
            verdict,
        }
    }
}

/// Several of them.
#[derive(Debug, Default)]
pub struct Report {
    judged: Vec<Judged>,
}

impl Report {
    /// Enters one more.
    pub fn add(&mut self, judged: Judged) {
        self.judged.push(judged);
    }

    /// Whether nothing was judged.
    pub fn is_empty(&self) -> bool {
        self.judged.is_empty()
    }

    /// 1 when anything was found.
    pub fn exit_code(&self) -> ExitCode {
        match self.judged.iter().all(|judged| judged.good) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    /// A list, one object for each history.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.judged).expect("numbers and texts can be written")
    }
}

/// A table, then notes, then the first violations in full.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "workload",
            "seed",
            "ok",
            "failed",
            "unknown",
            "session reads",
            "faults",
            "verdict",
            "file",
        ];
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header);
        for column in 1..7 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for Judged {
            file,
            seed,
            faults,
            verdict,
            ..
        } in &self.judged
        {
            let counts = verdict.counts;
            table.add_row([
                verdict.workload.to_string(),
                seed.to_string(),
                counts.ok.to_string(),
                counts.fail.to_string(),
                counts.info.to_string(),
                counts.session_reads.to_string(),
                faults.to_string(),
                word(verdict),
                file.display().to_string(),
            ]);
        }
        write!(f, "{table}")?;
        for Judged { file, verdict, .. } in &self.judged {
            for note in &verdict.notes {
                write!(f, "\n\n{}: note: {note}", file.display())?;
            }
            let mut kinds = BTreeSet::new();
            let firsts = verdict
                .violations
                .iter()
                .filter(|violation| kinds.insert(violation.anomaly));
            for violation in firsts.take(SHOWN_VIOLATIONS) {
                write!(f, "\n\n{}: {violation}", file.display())?;
            }
        }
        Ok(())
    }
}

fn word(verdict: &Verdict) -> String {
    match verdict.violations.len() + verdict.more_violations {
        0 => "good".to_owned(),
        1 => "1 VIOLATION".to_owned(),
        several => format!("{several} VIOLATIONS"),
    }
}
