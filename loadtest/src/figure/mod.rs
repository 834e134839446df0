//! Pictures of figures, as SVG text: no scripts, no fonts of their own, readable on light and on dark pages.

mod bars;
mod lines;
mod scale;
mod svg;

use svg::Canvas;

/// Width and height of a picture of one chart.
const SINGLE: (f64, f64) = (640.0, 380.0);
/// Width and height of each chart among several.
const AMONG_SEVERAL: (f64, f64) = (440.0, 320.0);
/// Charts that stand side by side.
const COLUMNS: usize = 2;

/// How values become places on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spacing {
    /// Equal differences are equally far apart; the axis begins at 0.
    #[default]
    Linear,
    /// Equal ratios are equally far apart; values that are not above 0 are left out.
    Log,
}

/// One axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What is measured.
    pub label: String,
    /// In which unit; may be empty.
    pub unit: String,
    /// How values become places.
    pub spacing: Spacing,
    /// Values to mark; when there are none, round numbers.
    pub ticks: Vec<f64>,
}

/// One measured value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// What it was measured at.
    pub x: f64,
    /// What came out.
    pub y: f64,
    /// The lowest and the highest of several rounds.
    pub spread: Option<(f64, f64)>,
}

/// Points that belong together, in the order in which they are joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its points.
    pub points: Vec<Point>,
}

/// A chart of lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// What it shows.
    pub title: String,
    /// The axis at the bottom.
    pub x: Axis,
    /// The axis on the left.
    pub y: Axis,
    /// The lines; with more than one there is a legend.
    pub series: Vec<Series>,
    /// What else a reader must know, below the chart.
    pub caption: Option<String>,
}

/// One bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    /// Whose it is: bars of one name have one colour in all groups.
    pub name: String,
    /// Its length; below 0 counts as 0.
    pub value: f64,
    /// What stands at its end.
    pub text: String,
}

/// Bars on a scale of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// What is compared.
    pub name: String,
    /// In which unit; may be empty.
    pub unit: String,
    /// The bars, from top to bottom.
    pub bars: Vec<Bar>,
}

/// A chart of bars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// Its groups, from top to bottom.
    pub groups: Vec<Group>,
    /// What else a reader must know, below the chart.
    pub caption: Option<String>,
}

/// A picture of one chart of lines.
#[must_use]
pub fn lines(chart: &Lines) -> String {
    let mut canvas = Canvas::new(SINGLE.0, SINGLE.1, &chart.title);
    lines::draw(&mut canvas, chart, (0.0, 0.0), SINGLE);
    canvas.finish()
}

/// A picture of several charts of lines, two beside each other. `title` is what a screen reader says.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rows and columns of one picture")]
pub fn panels(title: &str, charts: &[Lines]) -> String {
    let columns = charts.len().clamp(1, COLUMNS);
    let rows = charts.len().div_ceil(columns).max(1);
    let (width, height) = AMONG_SEVERAL;
    let mut canvas = Canvas::new(width * columns as f64, height * rows as f64, title);
    for (number, chart) in charts.iter().enumerate() {
        let origin = ((number % columns) as f64 * width, (number / columns) as f64 * height);
        lines::draw(&mut canvas, chart, origin, AMONG_SEVERAL);
    }
    canvas.finish()
}

/// A picture of a chart of bars.
#[must_use]
pub fn bars(chart: &Bars) -> String {
    bars::draw(chart)
}

#[cfg(test)]
mod tests;
