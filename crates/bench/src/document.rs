//! Saved results as the part of `docs/performance.md` that nobody writes by hand, and its plots.

use std::path::{Path, PathBuf};

use crate::chart;
use crate::failure::Failure;
use crate::report::Report;
use crate::tables::Style;

/// The lines around the part.
const BEGIN: &str = "<!-- Results: `bellwether-bench document` writes from here … -->";
const END: &str = "<!-- … to here. -->";

/// Below `docs`.
const PAGE: &str = "performance.md";
const RATES: &str = "performance/rates.svg";
const LATENCIES: &str = "performance/latencies.svg";

/// Where results are saved.
pub fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Writes page and plots from a saved report, or from the newest.
pub fn write(file: Option<&Path>) -> Result<(), Failure> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => newest(&results())?,
    };
    let report = Report::load(&file)?;
    let docs = docs();
    let page = docs.join(PAGE);
    let unusable =
        |error: std::io::Error| Failure::new(format!("{} cannot be used", docs.display())).because(error);
    let text = std::fs::read_to_string(&page).map_err(unusable)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let text = replaced(&text, &section(&report, &name)).ok_or_else(|| {
        Failure::new(format!("{} has no place for results", page.display()))
            .because(format!("it has to have these lines:\n{BEGIN}\n{END}"))
    })?;
    std::fs::create_dir_all(docs.join("performance")).map_err(unusable)?;
    for (path, text) in [
        (PAGE, text),
        (RATES, chart::rates(&report)),
        (LATENCIES, chart::latencies(&report)),
    ] {
        std::fs::write(docs.join(path), text).map_err(unusable)?;
        println!("wrote docs/{path}");
    }
    Ok(())
}

/// The last of a directory by name, and names begin with their dates.
fn newest(dir: &Path) -> Result<PathBuf, Failure> {
    let files = std::fs::read_dir(dir).into_iter().flatten();
    let files = files.filter_map(|entry| Some(entry.ok()?.path()));
    let results = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    results.max().ok_or_else(|| {
        Failure::new(format!("there are no results in {}", dir.display()))
            .hint("measure with --save NAME first")
    })
}

/// A page with another part between the two lines; `None` when it does not have them.
fn replaced(page: &str, section: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{section}\n{END}{after}"))
}

fn section(report: &Report, name: &str) -> String {
    let commit = report.commit.as_deref().unwrap_or("an unknown commit");
    let rounds = report.measurements.iter().map(|line| line.rounds.len()).max();
    let mut section = format!(
        "{}, {commit}, {} rounds of {} s: `crates/bench/results/{name}`\n\n- Machine: {}\n",
        report.date,
        rounds.unwrap_or_default(),
        report.seconds,
        report.machine.line(),
    );
    if let Some(pgbench) = &report.pgbench {
        section += &format!("- Client: {pgbench}\n");
    }
    for (kind, description) in &report.peers {
        section += &format!("- {}: {description}\n", kind.name());
    }
    for warning in report.warnings() {
        section += &format!("- **Warning**: {warning}\n");
    }
    for complaint in &report.complaints {
        section += &format!("- **Error**: {complaint}\n");
    }
    let tables = [
        report.verdicts(Style::Markdown),
        report.rates(Style::Markdown),
        report.costs(Style::Markdown),
        report.counts(Style::Markdown),
    ];
    section += &format!("\n![Transactions per second]({RATES})\n\n![Latencies]({LATENCIES})\n");
    for table in tables {
        section += &format!("\n{table}\n");
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn only_what_is_between_the_lines_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&page, "new\n").expect("it has the lines");
        assert_eq!(new, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replaced(&new, "new\n").as_deref(), Some(new.as_str()));
        assert_eq!(replaced("no lines", ""), None);
    }

    #[test]
    fn a_section_names_its_machine_its_warnings_and_its_source() {
        let text = section(&report(), "x.json");
        for expected in ["a processor", "**Warning**", "x.json", "| upsert", "rates.svg"] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }

    #[test]
    fn the_newest_results_are_the_last_by_date() {
        let dir = tempfile::tempdir().expect("a directory");
        newest(dir.path()).expect_err("there are none");
        for name in ["2026-02-01-b.json", "2026-01-31-z.json", "2027.txt"] {
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        let newest = newest(dir.path()).expect("there are two");
        assert!(newest.ends_with("2026-02-01-b.json"), "{}", newest.display());
    }

    /// The page in the tree is what its own results give: nobody has changed either alone.
    #[test]
    fn the_page_shows_the_newest_results() {
        let page = std::fs::read_to_string(docs().join(PAGE)).expect("the page is there");
        assert!(
            page.contains(BEGIN) && page.contains(END),
            "{PAGE} has a place for results"
        );
        let Ok(file) = newest(&results()) else { return };
        let report = Report::load(&file).expect("what this program saved");
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let again = replaced(&page, &section(&report, &name)).expect("it has the lines");
        assert!(page == again, "run `cargo run -p bellwether-bench -- document`");
        for (path, svg) in [
            (RATES, chart::rates(&report)),
            (LATENCIES, chart::latencies(&report)),
        ] {
            let found = std::fs::read_to_string(docs().join(path)).expect("the plot is there");
            assert!(
                found == svg,
                "run `cargo run -p bellwether-bench -- document`: {path}"
            );
        }
    }
}
