//! A plot of lines as SVG.

use std::fmt::Write;

use super::escape;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// Marks on a linear axis, about.
const MARKS: f64 = 6.0;

/// How an axis places its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// From zero, in this unit.
    Linear(&'static str),
    /// By powers of ten, in this unit.
    Logarithmic(&'static str),
    /// Values are numbers of nines: 2 is the 99th percentile.
    Nines,
}

/// A line of a plot.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub colour: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// Lines over two axes.
#[derive(Clone, Debug)]
pub struct Plot {
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

impl Axis {
    /// Where `value` is on the axis, in the axis' own measure.
    fn place(self, value: f64) -> f64 {
        if matches!(self, Axis::Logarithmic(_)) { value.log10() } else { value }
    }

    /// The ends of the axis around `low..high`.
    fn ends(self, low: f64, high: f64) -> (f64, f64) {
        match self {
            Axis::Linear(_) => (0.0, if high > 0.0 { high * 1.05 } else { 1.0 }),
            Axis::Logarithmic(_) => (low.floor(), if high.ceil() > low.floor() { high.ceil() } else { high + 1.0 }),
            Axis::Nines => (0.0, high.max(1.0)),
        }
    }

    /// Places and names of the marks between two ends.
    fn marks(self, start: f64, end: f64) -> Vec<(f64, String)> {
        match self {
            Axis::Linear(unit) => {
                let step = nice_step((end - start) / MARKS);
                let count = ((end - start) / step).floor() as u32;
                (0..=count).map(|at| start + f64::from(at) * step).map(|at| (at, named(at, unit))).collect()
            }
            Axis::Logarithmic(unit) => {
                (start as i32..=end as i32).map(|power| (f64::from(power), named(10f64.powi(power), unit))).collect()
            }
            Axis::Nines => {
                let names = ["p0", "p90", "p99", "p99.9", "p99.99", "p99.999", "p99.9999", "p99.99999"];
                let marks = names.iter().enumerate().map(|(nines, name)| (nines as f64, (*name).to_owned()));
                marks.filter(|(nines, _)| *nines <= end).collect()
            }
        }
    }
}

fn named(value: f64, unit: &str) -> String {
    let number = if value.abs() >= 1e6 {
        format!("{} M", value / 1e6)
    } else if value.abs() >= 1e4 {
        format!("{} k", value / 1e3)
    } else {
        format!("{}", (value * 1e6).round() / 1e6)
    };
    format!("{number} {unit}")
}

/// 1, 2 or 5 times a power of ten, about `step`.
fn nice_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= step).unwrap_or(10.0);
    factor * power
}

impl Plot {
    /// The plot and its legend.
    pub fn render(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let range = |axis: Axis, of: fn(&(f64, f64)) -> f64| {
            let placed = points().map(|point| axis.place(of(point)));
            let (low, high) = placed.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
            if low > high { axis.ends(0.0, 1.0) } else { axis.ends(low, high) }
        };
        let (x_start, x_end) = range(self.x, |point| point.0);
        let (y_start, y_end) = range(self.y, |point| point.1);
        let x = |place: f64| LEFT + (place - x_start) / (x_end - x_start) * (WIDTH - LEFT - RIGHT);
        let y = |place: f64| HEIGHT - BOTTOM - (place - y_start) / (y_end - y_start) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n");
        for (place, name) in self.y.marks(y_start, y_end) {
            let at = y(place);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                escape(&name)
            );
        }
        for (place, name) in self.x.marks(x_start, x_end) {
            let at = x(place);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 18.0,
                escape(&name)
            );
        }
        for line in &self.lines {
            let places = line.points.iter().map(|point| (x(self.x.place(point.0)), y(self.y.place(point.1))));
            let path: String = places.map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
            let _ = writeln!(
                svg,
                "<polyline class=\"data\" stroke=\"{}\" points=\"{}\"><title>{}</title></polyline>",
                line.colour,
                path.trim_end(),
                escape(&line.name)
            );
        }
        svg.push_str("</svg>\n<p class=\"legend\">");
        for line in &self.lines {
            let _ = write!(
                svg,
                "<span><i class=\"swatch\" style=\"background:{}\"></i>{}</span>",
                line.colour,
                escape(&line.name)
            );
        }
        svg.push_str("</p>\n");
        svg
    }
}
