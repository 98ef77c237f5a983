//! The distribution as SVG, written by hand: for each measure a line that rises with the share of failovers that were
//! over.

use std::fmt::Write;

use super::results::{Results, percentile};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 40.0;

const INK: &str = "#222222";
const FAINT: &str = "#dddddd";
const COLOURS: [&str; 2] = ["#c8553d", "#336791"];

/// Draws all rounds.
pub fn draw(results: &Results) -> String {
    let measures = results.measures();
    let most = measures
        .iter()
        .flat_map(|(_, ms)| ms)
        .copied()
        .fold(1.0, f64::max);
    let step = step_ms(most);
    let end = (most / step).ceil() * step;
    let x = |ms: f64| LEFT + ms / end * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect x=\"0\" y=\"0\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let title = format!(
        "From the loss of a leader ({}) to the next acknowledged write: {} times, {} nodes",
        results.how.name(),
        results.rounds.len(),
        results.nodes
    );
    text(&mut svg, (8.0, 16.0), "start", INK, &title);
    let mut ms = 0.0;
    while ms <= end {
        line(&mut svg, (x(ms), y(0.0)), (x(ms), y(1.0)), FAINT);
        text(
            &mut svg,
            (x(ms), HEIGHT - BOTTOM + 16.0),
            "middle",
            INK,
            &format!("{ms} ms"),
        );
        ms += step;
    }
    for percent in [0, 50, 90, 100] {
        let share = f64::from(percent) / 100.0;
        line(&mut svg, (LEFT, y(share)), (WIDTH - RIGHT, y(share)), FAINT);
        text(
            &mut svg,
            (LEFT - 8.0, y(share) + 4.0),
            "end",
            INK,
            &format!("{percent} %"),
        );
    }
    for (at, (name, sorted)) in measures.iter().enumerate() {
        let figures = [50, 90, 99].map(|percent| format!("p{percent} {:.0} ms", percentile(sorted, percent)));
        let legend = format!("{name}: {}", figures.join(", "));
        text(
            &mut svg,
            (LEFT + 320.0 * at as f64, 36.0),
            "start",
            COLOURS[at],
            &legend,
        );
        svg += &steps(sorted, x, y, COLOURS[at]);
    }
    svg + "</svg>\n"
}

/// A round number of milliseconds, of which about eight fit.
fn step_ms(most: f64) -> f64 {
    let rough = most / 8.0;
    let decade = 10_f64.powf(rough.max(1.0).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * decade >= rough);
    factor.unwrap_or(10.0) * decade
}

fn steps(sorted: &[f64], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64, colour: &str) -> String {
    let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
    for (number, ms) in (1..).zip(sorted) {
        let share = f64::from(number) / sorted.len() as f64;
        write!(path, " H{:.1} V{:.1}", x(*ms), y(share)).expect("a string takes what is written to it");
    }
    format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n")
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let line =
        format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>\n");
    svg.push_str(&line);
}

/// `text` is ours: nothing in it needs escaping.
fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, text: &str) {
    let text =
        format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n");
    svg.push_str(&text);
}

#[cfg(test)]
mod tests {
    use super::super::results::{How, Round};
    use super::*;

    fn results(times: &[f64]) -> Results {
        let round = |&first_ms: &f64| Round {
            leader: 1,
            next: 2,
            first_ms,
            first_was_begun_before: true,
            first_attempts: 1,
            fresh_ms: first_ms + 5.0,
            retried: 0,
        };
        Results {
            how: How::Kill,
            nodes: 3,
            writers: 6,
            seed: 1,
            version: "x".to_owned(),
            acknowledged: 9,
            lost: Vec::new(),
            rounds: times.iter().map(round).collect(),
        }
    }

    #[test]
    fn each_measure_is_a_line_with_a_step_for_each_round() {
        let svg = draw(&results(&[700.0, 650.0, 900.0]));
        let paths: Vec<&str> = svg.lines().filter(|line| line.starts_with("<path")).collect();
        assert_eq!(paths.len(), 2);
        assert!(paths.iter().all(|path| path.matches(" V").count() == 3), "{svg}");
        assert!(svg.contains("p50 700 ms") && svg.contains("p50 705 ms"), "{svg}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let svg = draw(&results(&[]));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn the_axis_has_round_numbers() {
        assert_eq!(
            [step_ms(1.0), step_ms(780.0), step_ms(3_000.0)],
            [1.0, 100.0, 500.0]
        );
    }
}
