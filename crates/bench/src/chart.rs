//! Plots as SVG, written by hand: bars of rates, and latencies as lines over a logarithmic axis.

use std::fmt::Write;

use crate::peer::Kind;
use crate::report::{Line, Report};

const WIDTH: f64 = 720.0;
/// Room for the names at the left.
const LEFT: f64 = 150.0;
/// Room for figures at the right.
const RIGHT: f64 = 110.0;
const TOP: f64 = 44.0;
const ROW: f64 = 15.0;
/// Between two workloads.
const GAP: f64 = 12.0;

const INK: &str = "#222222";
const FAINT: &str = "#dddddd";

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Bellwether => "#c8553d",
        Kind::Postgres => "#336791",
        Kind::OneNode => "#e0a458",
        Kind::Sqlite => "#7a9e7e",
    }
}

/// Measurements of one workload and number of clients, side by side.
fn cases(report: &Report) -> Vec<Vec<&Line>> {
    let mut cases: Vec<Vec<&Line>> = Vec::new();
    for line in &report.measurements {
        match cases.last_mut() {
            Some(case) if (case[0].workload, case[0].clients) == (line.workload, line.clients) => {
                case.push(line)
            }
            _ => cases.push(vec![line]),
        }
    }
    cases
}

/// Each peer's transactions per second as a share of the quickest peer's of the same case, with the least and the
/// greatest round.
pub fn rates(report: &Report) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for case in cases(report) {
        let most = case
            .iter()
            .map(|line| line.tps.max)
            .fold(f64::MIN_POSITIVE, f64::max);
        let x = |tps: f64| LEFT + tps / most * (WIDTH - LEFT - RIGHT);
        title(&mut body, case[0], y, case.len());
        for line in case {
            let (min, median, max) = (x(line.tps.min), x(line.tps.median), x(line.tps.max));
            let middle = y + ROW / 2.0;
            rectangle(
                &mut body,
                (LEFT, y + 1.0),
                (median - LEFT, ROW - 2.0),
                colour(line.peer),
            );
            stroke(&mut body, (min, middle), (max, middle), INK);
            text(
                &mut body,
                (WIDTH - RIGHT + 8.0, middle + 4.0),
                "start",
                &per_second(line.tps.median),
            );
            y += ROW;
        }
        y += GAP;
    }
    document(
        report,
        "Transactions per second, each case on a scale of its own: median, least and greatest round",
        &body,
        y,
    )
}

/// Each peer's p50, p95, p99 and p99.9, in milliseconds.
pub fn latencies(report: &Report) -> String {
    let measured = || report.measurements.iter().filter_map(|line| line.latency);
    let least = measured()
        .map(|latency| latency.p50_ms)
        .fold(f64::INFINITY, f64::min);
    let most = measured().map(|latency| latency.p999_ms).fold(0.0, f64::max);
    if most <= 0.0 {
        return document(report, "Latency", "", TOP);
    }
    let (low, high) = (least.max(1e-3).log10().floor(), most.log10().ceil());
    let x = |ms: f64| LEFT + (ms.max(1e-3).log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT / 4.0);
    let mut rows = String::new();
    let mut y = TOP + ROW;
    for case in cases(report) {
        title(&mut rows, case[0], y, case.len());
        for line in case {
            let middle = y + ROW / 2.0;
            if let Some(latency) = line.latency {
                let points = [latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.p999_ms];
                stroke(
                    &mut rows,
                    (x(points[0]), middle),
                    (x(points[3]), middle),
                    colour(line.peer),
                );
                for (point, radius) in points.into_iter().zip([5.0, 3.5, 3.0, 2.0]) {
                    circle(&mut rows, (x(point), middle), radius, colour(line.peer));
                }
            }
            y += ROW;
        }
        y += GAP;
    }
    let mut axis = String::new();
    for decade in low as i32..=high as i32 {
        let ms = 10_f64.powi(decade);
        stroke(&mut axis, (x(ms), TOP + ROW - 4.0), (x(ms), y - GAP), FAINT);
        text(&mut axis, (x(ms), TOP + 8.0), "middle", &format!("{ms} ms"));
    }
    document(
        report,
        "Latency: p50 (large), p95, p99, p99.9 (small)",
        &(axis + &rows),
        y,
    )
}

fn per_second(tps: f64) -> String {
    format!("{tps:.0}/s")
}

fn document(report: &Report, title: &str, body: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n"
    );
    rectangle(&mut svg, (0.0, 0.0), (WIDTH, height), "#ffffff");
    text(
        &mut svg,
        (8.0, 16.0),
        "start",
        &format!("{title} ({})", report.date),
    );
    let mut x = LEFT;
    let mut kinds: Vec<Kind> = report.measurements.iter().map(|line| line.peer).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds {
        rectangle(&mut svg, (x, 24.0), (10.0, 10.0), colour(kind));
        text(&mut svg, (x + 14.0, 33.0), "start", kind.name());
        x += 90.0;
    }
    svg + body + "</svg>\n"
}

fn title(svg: &mut String, line: &Line, y: f64, rows: usize) {
    let clients = if line.clients == 1 { "client" } else { "clients" };
    let label = format!("{}, {} {clients}", line.workload.name(), line.clients);
    text(
        svg,
        (LEFT - 8.0, y + rows as f64 * ROW / 2.0 + 4.0),
        "end",
        &label,
    );
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    push(
        svg,
        format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        ),
    );
}

fn stroke(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    push(
        svg,
        format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
        ),
    );
}

fn circle(svg: &mut String, (x, y): (f64, f64), radius: f64, colour: &str) {
    push(
        svg,
        format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"),
    );
}

/// `text` is ours: nothing in it needs escaping.
fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    push(
        svg,
        format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{INK}\">{text}</text>"),
    );
}

fn push(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a string takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_quickest_peers_bar_is_as_long_as_its_median_is_of_its_best_round() {
        let svg = rates(&report());
        let full = (WIDTH - LEFT - RIGHT) * 100.0 / 110.0;
        assert!(svg.contains(&format!("width=\"{full:.1}\"")), "{svg}");
        assert!(
            svg.contains(">100/s<") && svg.contains(">upsert, 1 client<"),
            "{svg}"
        );
    }

    #[test]
    fn every_measurement_has_four_points_within_the_picture() {
        let svg = latencies(&report());
        let at: Vec<f64> = svg
            .lines()
            .filter_map(|line| {
                line.strip_prefix("<circle cx=\"")?
                    .split('"')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(at.len(), 4 * 4);
        assert!(at.iter().all(|x| (LEFT..=WIDTH).contains(x)), "{at:?}");
    }

    #[test]
    fn what_was_not_measured_is_drawn_as_nothing() {
        let mut empty = report();
        empty.measurements.clear();
        for svg in [rates(&empty), latencies(&empty)] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
        }
    }
}
