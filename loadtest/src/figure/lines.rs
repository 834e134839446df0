//! A chart of lines: title, legend, axes, curves with their spread, caption, from top to bottom.

use super::{
    Axis, Lines, Point,
    scale::{Scale, number},
    svg::{Anchor, Canvas, Style},
};

/// From the edge of the chart to what is drawn.
const MARGIN: f64 = 18.0;
/// From the axes to their numbers.
const GAP: f64 = 8.0;
/// From the left and right end of the plot to the first and last value.
const INSET: f64 = 18.0;
/// From one line of text to the next, in sizes of its letters.
const LEADING: f64 = 1.4;

/// Draws into the rectangle of `size` at `origin`.
pub(super) fn draw(canvas: &mut Canvas, chart: &Lines, origin: (f64, f64), size: (f64, f64)) {
    let (left, right) = (origin.0 + MARGIN, origin.0 + size.0 - MARGIN);
    let mut top = origin.1 + MARGIN;
    top = paragraph(canvas, (left, top), right - left, Style::Title, &chart.title);
    if chart.series.len() > 1 {
        top = legend(canvas, chart, (left, top + 4.0), right);
    }
    top = paragraph(canvas, (left, top + 4.0), right - left, Style::Small, &with_unit(&chart.y));
    let caption = Style::Small.wrap(chart.caption.as_deref().unwrap_or_default(), right - left);
    let mut bottom = origin.1 + size.1 - MARGIN / 2.0;
    for line in caption.iter().rev() {
        canvas.text((left, bottom - 3.0), Anchor::Start, Style::Small, line);
        bottom -= Style::Small.size() * LEADING;
    }
    let middle = f64::midpoint(left, right);
    canvas.text(
        (middle, bottom - 4.0),
        Anchor::Middle,
        Style::Small,
        &Style::Small.cut(&with_unit(&chart.x), right - left),
    );
    bottom -= 2.0 * Style::Small.size() * LEADING + GAP;
    let plot = Plot::new(chart, (left, right), (top + GAP, bottom));
    plot.axes(canvas, chart);
    plot.curves(canvas, chart);
}

/// Writes wrapped text below `at`, and says where it ends.
fn paragraph(canvas: &mut Canvas, at: (f64, f64), width: f64, style: Style, text: &str) -> f64 {
    let mut bottom = at.1;
    for line in style.wrap(text, width) {
        canvas.text((at.0, bottom + style.size()), Anchor::Start, style, &line);
        bottom += style.size() * LEADING;
    }
    bottom
}

/// Names with their marks, in as many rows as they need; says where it ends.
fn legend(canvas: &mut Canvas, chart: &Lines, at: (f64, f64), right: f64) -> f64 {
    const MARK: f64 = 26.0;
    const APART: f64 = 14.0;
    let row = Style::Label.size() * LEADING;
    let (mut x, mut y) = at;
    for (index, series) in chart.series.iter().enumerate() {
        let name = Style::Label.cut(&series.name, right - at.0 - MARK);
        let width = MARK + Style::Label.width(&name);
        if x > at.0 && x + width > right {
            (x, y) = (at.0, y + row);
        }
        let middle = y + row / 2.0;
        canvas.curve(index, &[(x, middle), (x + MARK - 8.0, middle)]);
        canvas.mark(index, (x + MARK / 2.0 - 4.0, middle));
        canvas.text((x + MARK, middle + 4.0), Anchor::Start, Style::Label, &name);
        x += width + APART;
    }
    y + row
}

fn with_unit(axis: &Axis) -> String {
    if axis.unit.is_empty() { axis.label.clone() } else { format!("{}, {}", axis.label, axis.unit) }
}

/// The rectangle of the curves, and both scales.
#[derive(Debug)]
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
    y_ticks: Vec<f64>,
}

impl Plot {
    fn new(chart: &Lines, (left, right): (f64, f64), (top, bottom): (f64, f64)) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let x = Scale::covering(points().map(|point| point.x).chain(chart.x.ticks.iter().copied()), chart.x.spacing);
        let heights = points().flat_map(|point| {
            let (low, high) = point.spread.unwrap_or((point.y, point.y));
            [point.y, low, high]
        });
        let y = Scale::covering(heights.chain(chart.y.ticks.iter().copied()), chart.y.spacing).rounded();
        let y_ticks = if chart.y.ticks.is_empty() { y.ticks() } else { chart.y.ticks.clone() };
        let widest = y_ticks.iter().map(|tick| Style::Small.width(&number(*tick))).fold(0.0, f64::max);
        // A caption of many lines must not turn the plot upside down.
        Self { left: left + widest + GAP, right, top, bottom: bottom.max(top + 40.0), x, y, y_ticks }
    }

    fn at_x(&self, value: f64) -> Option<f64> {
        let (from, to) = (self.left + INSET, self.right - INSET);
        self.x.place(value).map(|share| from + share * (to - from))
    }

    fn at_y(&self, value: f64) -> Option<f64> {
        self.y.place(value).map(|share| self.bottom - share * (self.bottom - self.top))
    }

    fn at(&self, point: &Point) -> Option<(f64, f64)> {
        Some((self.at_x(point.x)?, self.at_y(point.y)?))
    }

    fn axes(&self, canvas: &mut Canvas, chart: &Lines) {
        for tick in &self.y_ticks {
            let Some(y) = self.at_y(*tick) else { continue };
            canvas.rule("grid", (self.left, y), (self.right, y));
            canvas.text((self.left - GAP, y + 4.0), Anchor::End, Style::Small, &number(*tick));
        }
        canvas.rule("axis", (self.left, self.bottom), (self.right, self.bottom));
        let ticks = if chart.x.ticks.is_empty() { self.x.ticks() } else { chart.x.ticks.clone() };
        let mut free_from = f64::NEG_INFINITY;
        for tick in ticks {
            let (Some(x), text) = (self.at_x(tick), number(tick)) else { continue };
            canvas.rule("axis", (x, self.bottom), (x, self.bottom + 4.0));
            let half = Style::Small.width(&text) / 2.0;
            // Numbers that would touch the one before are left out; the mark stays.
            if x - half > free_from && x + half <= self.right + MARGIN {
                let below = self.bottom + GAP + Style::Small.size();
                canvas.text((x, below), Anchor::Middle, Style::Small, &text);
                free_from = x + half;
            }
        }
    }

    fn curves(&self, canvas: &mut Canvas, chart: &Lines) {
        let drawn = |point: &&Point| self.at(point).is_some();
        if !chart.series.iter().any(|series| series.points.iter().any(|point| drawn(&point))) {
            let middle = (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom));
            canvas.text(middle, Anchor::Middle, Style::Label, "not measured");
        }
        for (index, series) in chart.series.iter().enumerate() {
            let places: Vec<_> = series.points.iter().filter_map(|point| self.at(point)).collect();
            if places.len() > 1 {
                canvas.curve(index, &places);
            }
            for point in series.points.iter().filter(drawn) {
                self.spread(canvas, index, point);
            }
            for place in places {
                canvas.mark(index, place);
            }
        }
    }

    fn spread(&self, canvas: &mut Canvas, index: usize, point: &Point) {
        let Some((low, high)) = point.spread else { return };
        if let (Some(x), Some(low), Some(high)) = (self.at_x(point.x), self.at_y(low), self.at_y(high)) {
            canvas.whisker(index, x, (low, high));
        }
    }
}
