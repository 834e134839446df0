//! From what was measured to pictures: which quantities of a curve are shown, and in which words.

use super::{
    args::Curve,
    data::{Growth, Measured, Quantity},
};
use crate::figure::{Axis, Lines, Series, Spacing, panels};
use std::{fs, path::Path};

/// One chart: a quantity, and every series that has it.
#[derive(Clone, Copy, Debug)]
struct Panel {
    quantity: Quantity,
    title: &'static str,
    label: &'static str,
    unit: &'static str,
    spacing: Spacing,
}

const fn panel(quantity: Quantity, title: &'static str, label: &'static str, unit: &'static str) -> Panel {
    Panel { quantity, title, label, unit, spacing: Spacing::Linear }
}

/// What is shown of a curve.
fn panels_of(curve: Curve) -> Vec<Panel> {
    match curve {
        Curve::Sockets => vec![
            panel(Quantity::KibEach, "Memory of an idle socket", "resident memory a socket", "KiB"),
            panel(Quantity::MicrosecondsEach, "Opening a socket", "processor time a socket", "µs"),
        ],
        Curve::Matches | Curve::Receivers => vec![
            panel(Quantity::MicrosecondsEach, "A delivered message", "processor time a delivery", "µs"),
            panel(Quantity::P99Milliseconds, "How late the latest are", "99 of 100 arrive within", "ms"),
        ],
        Curve::Stored => vec![
            panel(Quantity::MicrosecondsEach, "Signing in and reading an account", "processor time each", "µs"),
            panel(Quantity::PerSecond, "The same, over 32 connections", "operations a second", ""),
            panel(Quantity::StartMilliseconds, "Start", "from exec to the first answer", "ms"),
            Panel { spacing: Spacing::Log, ..panel(Quantity::Mib, "Memory and files", "after the start", "MiB") },
        ],
    }
}

/// What grows, as the axis at the bottom says it.
fn growing(curve: Curve) -> &'static str {
    match curve {
        Curve::Sockets => "sockets",
        Curve::Matches => "matches of four",
        Curve::Receivers => "receivers of each message, in one match",
        Curve::Stored => "stored accounts",
    }
}

/// Draws every curve that was measured to `folder`, as growth-CURVE.svg; says which files.
///
/// # Errors
/// A file cannot be written.
pub(super) fn draw(growth: &Growth, curves: &[Curve], folder: &Path) -> Result<Vec<String>, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = Vec::new();
    for (curve, measured) in growth.curves.iter().filter(|(curve, _)| curves.contains(curve)) {
        let file = folder.join(format!("growth-{}.svg", curve.name()));
        fs::write(&file, picture(*curve, measured)).map_err(|error| format!("{}: {error}", file.display()))?;
        files.push(file.display().to_string());
    }
    Ok(files)
}

fn picture(curve: Curve, measured: &[Measured]) -> String {
    let charts: Vec<Lines> = panels_of(curve).iter().map(|panel| chart(curve, *panel, measured)).collect();
    panels(&format!("What grows with {}", growing(curve)), &charts)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn chart(curve: Curve, panel: Panel, measured: &[Measured]) -> Lines {
    let mut series: Vec<Series> = Vec::new();
    for one in measured {
        let Some(point) = one.point(panel.quantity) else { continue };
        match series.iter_mut().find(|series| series.name == one.series) {
            Some(series) => series.points.push(point),
            None => series.push(Series { name: one.series.clone(), points: vec![point] }),
        }
    }
    for series in &mut series {
        series.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    let mut ticks: Vec<f64> = measured.iter().map(|one| one.size as f64).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    Lines {
        title: panel.title.into(),
        x: Axis { label: growing(curve).into(), unit: String::new(), spacing: Spacing::Log, ticks },
        y: Axis { label: panel.label.into(), unit: panel.unit.into(), spacing: panel.spacing, ticks: Vec::new() },
        series,
        caption: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};

    #[test]
    fn saved_figures_draw_the_same_picture_again() {
        let folder = tempfile::tempdir().unwrap();
        let (saved, first, second) =
            (folder.path().join("a.json"), folder.path().join("first"), folder.path().join("second"));
        example().write(&saved).unwrap();
        let files = draw(&example(), &Curve::ALL, &first).unwrap();
        draw(&Growth::read(&saved).unwrap(), &Curve::ALL, &second).unwrap();
        assert_eq!(files.len(), 1, "only what was measured is drawn: {files:?}");
        let read = |folder: &Path| fs::read_to_string(folder.join("growth-stored.svg")).unwrap();
        assert_eq!(read(&first), read(&second));
        assert!(draw(&example(), &[Curve::Sockets], &first).unwrap().is_empty());
    }

    #[test]
    fn every_series_with_a_quantity_is_a_line_of_its_chart() {
        let growth = example();
        let measured = &growth.curves[&Curve::Stored];
        let charts: Vec<Lines> =
            panels_of(Curve::Stored).iter().map(|panel| chart(Curve::Stored, *panel, measured)).collect();
        let names: Vec<Vec<&str>> =
            charts.iter().map(|chart| chart.series.iter().map(|series| series.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["new login"], vec![], vec![], vec!["data folder"]]);
        assert_eq!(charts[0].x.ticks, [1_000.0, 10_000.0]);
        assert!(picture(Curve::Stored, measured).contains("not measured"));
    }
}
