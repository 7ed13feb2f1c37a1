//! The plot: bars for those behind a queue and their peers.

use std::fmt::Write as _;

use crate::{
    figures::Metric,
    groups::{BURSTS, Group, OURS, SATURATED, SATURATED_4},
    rounds::Results,
    table::number,
};

/// A column of bars, from zero on.
struct Column {
    title: &'static str,
    note: &'static str,
    work: &'static str,
    metric: Metric,
}

const COLUMNS: [Column; 3] = [
    Column {
        title: "caller's CPU, ns an event",
        note: "bursts, 1 thread; less is better",
        work: BURSTS,
        metric: Metric::Caller,
    },
    Column {
        title: "million lines a second, in the file",
        note: "1 thread; more is better",
        work: SATURATED,
        metric: Metric::Rate,
    },
    Column {
        title: "million lines a second, in the file",
        note: "4 threads; more is better",
        work: SATURATED_4,
        metric: Metric::Rate,
    },
];

const NAMES: usize = 150;
const COLUMN: usize = 240;
/// Of the longest bar: the number behind it needs the rest of the column.
const BAR: f64 = 170.0;
const HEAD: usize = 50;
const ROW: usize = 22;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.note { fill: #656d76 }
.name { text-anchor: end }
.ours { font-weight: bold }
rect { fill: #a8b1bb }
rect.ours { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note { fill: #8d96a0 }
rect { fill: #6e7681 }
rect.ours { fill: #3fb950 }
}
";

/// Draws the medians of a group that has done this work.
pub(crate) fn draw(group: &Group, results: &Results) -> String {
    let names: Vec<&'static str> = group.candidates.iter().map(|candidate| candidate.name).collect();
    let (width, height) = (NAMES + COLUMNS.len() * COLUMN, HEAD + names.len() * ROW + 10);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>\n{STYLE}</style>\n"
    );
    for (row, name) in names.iter().enumerate() {
        text(&mut svg, &format!("name{}", mark(name)), NAMES - 10, middle(row) + 4, name);
    }
    for (at, column) in COLUMNS.iter().enumerate() {
        draw_column(&mut svg, column, NAMES + at * COLUMN, &names, results);
    }
    svg + "</svg>\n"
}

fn draw_column(svg: &mut String, column: &Column, x: usize, names: &[&'static str], results: &Results) {
    text(svg, "", x, 18, column.title);
    text(svg, "note", x, 34, column.note);
    let medians = names.iter().map(|name| results.median(column.work, name, column.metric));
    let medians: Vec<f64> = medians.collect();
    let most = medians.iter().copied().fold(0.0, f64::max);
    for (row, (name, median)) in names.iter().zip(medians).enumerate() {
        if median.is_nan() {
            text(svg, "note", x, middle(row) + 4, "not measured");
            continue;
        }
        let (length, y) = ((BAR * median / most).max(1.0), middle(row) - 7);
        let class = mark(name).trim_start();
        writeln!(svg, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{length:.0}\" height=\"14\"/>")
            .expect("a string takes everything");
        text(svg, class, x + length as usize + 5, middle(row) + 4, &number(median));
    }
}

/// Where the middle of a row is.
fn middle(row: usize) -> usize {
    HEAD + row * ROW + ROW / 2
}

fn mark(name: &str) -> &'static str {
    if name == OURS { " ours" } else { "" }
}

fn text(svg: &mut String, class: &str, x: usize, y: usize, text: &str) {
    writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>")
        .expect("a string takes everything");
}
