use super::*;
use std::fs;

/// Every element is closed in its turn, and no character stands where XML does not allow it.
fn is_balanced(svg: &str) -> bool {
    let mut open = Vec::new();
    for (index, piece) in svg.split('<').enumerate() {
        let Some((tag, text)) = piece.split_once('>') else {
            // Nothing stands before the first element; whatever comes later is one.
            if index == 0 && piece.is_empty() {
                continue;
            }
            return false;
        };
        let entities = text
            .split('&')
            .skip(1)
            .all(|rest| ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|entity| rest.starts_with(entity)));
        if text.contains('>') || !entities || tag.matches('"').count() % 2 == 1 {
            return false;
        }
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    open.is_empty()
}

/// All values of an attribute.
fn attributes<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
    let mark = format!(" {name}=\"");
    svg.split(mark.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn numbers(svg: &str, name: &str) -> Vec<f64> {
    attributes(svg, name).into_iter().map(|text| text.parse().unwrap()).collect()
}

/// Whether places of all kinds lie within the view box, and texts with their estimated widths.
fn is_inside(svg: &str) -> bool {
    let edges: Vec<f64> = attributes(svg, "viewBox")[0].split(' ').map(|text| text.parse().unwrap()).collect();
    let (width, height) = (edges[2], edges[3]);
    let across = ["x", "x1", "x2", "cx"].iter().flat_map(|name| numbers(svg, name));
    let down = ["y", "y1", "y2", "cy"].iter().flat_map(|name| numbers(svg, name));
    let places: Vec<(f64, f64)> = attributes(svg, "points")
        .iter()
        .flat_map(|points| points.split(' '))
        .map(|place| place.split_once(',').unwrap())
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect();
    let texts = svg.lines().filter(|line| line.starts_with("<text")).all(|line| {
        let style = match attributes(line, "class")[0] {
            "title" => svg::Style::Title,
            "heading" => svg::Style::Heading,
            "label" => svg::Style::Label,
            _ => svg::Style::Small,
        };
        let mut text = line.split('>').nth(1).unwrap().split('<').next().unwrap().to_owned();
        for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
            text = text.replace(entity, character);
        }
        let (x, long) = (numbers(line, "x")[0], style.width(&text));
        let from = match attributes(line, "text-anchor").first() {
            Some(&"middle") => x - long / 2.0,
            Some(_) => x - long,
            None => x,
        };
        (0.0..=width - long + 0.1).contains(&from)
    });
    texts
        && across.chain(places.iter().map(|(x, _)| *x)).all(|x| (0.0..=width).contains(&x))
        && down.chain(places.iter().map(|(_, y)| *y)).all(|y| (0.0..=height).contains(&y))
}

fn axis(label: &str, unit: &str, spacing: Spacing) -> Axis {
    Axis { label: label.into(), unit: unit.into(), spacing, ticks: Vec::new() }
}

fn series(name: &str, points: &[(f64, f64)]) -> Series {
    let point = |(x, y): &(f64, f64)| Point { x: *x, y: *y, spread: Some((y * 0.9, y * 1.2)) };
    Series { name: name.into(), points: points.iter().map(point).collect() }
}

fn chart() -> Lines {
    Lines {
        title: "Processor time of a delivered message".into(),
        x: axis("matches of 4", "", Spacing::Log),
        y: axis("processor time", "µs", Spacing::Linear),
        series: vec![
            series("12,000 deliveries a second in all", &[(10.0, 11.0), (100.0, 12.5), (1_000.0, 14.0)]),
            series("2 messages a second and player", &[(10.0, 21.0), (100.0, 18.5), (1_000.0, 13.0)]),
        ],
        caption: Some("Medians of three rounds; the thin lines go from the lowest to the highest.".into()),
    }
}

/// The picture of the README, as far as its numbers go.
fn comparison() -> Bars {
    let bar = |name: &str, value: f64, unit: &str| Bar { name: name.into(), value, text: format!("{value} {unit}") };
    let group = |name: &str, unit: &str, values: [f64; 3]| Group {
        name: name.into(),
        unit: unit.into(),
        bars: ["Kizuna", "sockets alone", "Nakama 3.40"]
            .into_iter()
            .zip(values)
            .map(|(name, value)| bar(name, value, unit))
            .collect(),
    };
    Bars {
        title: "What it costs".into(),
        groups: vec![
            group("A delivered message, 20 a second and player: processor time", "µs", [14.3, 21.0, 24.0]),
            group("A delivered message, as fast as it goes: processor time", "µs", [1.2, 1.4, 10.8]),
            group("An idle socket: resident memory", "KiB", [4.7, 8.9, 31.5]),
        ],
        caption: Some("“Sockets alone” is the least that a relay can cost with the same libraries.".into()),
    }
}

#[test]
fn pictures_are_well_formed_and_inside_their_frame() {
    for svg in [lines(&chart()), panels("all", &[chart(), chart(), chart()]), bars(&comparison())] {
        assert!(is_balanced(&svg), "{svg}");
        assert!(is_inside(&svg), "{svg}");
        assert!(!svg.contains("<script") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
    assert!(!is_balanced("<a><b></a></b>") && !is_balanced("<a>&b</a>"));
}

#[test]
fn strange_texts_and_values_stay_inside_and_well_formed() {
    let long = "<script>alert(1)</script> & \"quotes\" ".repeat(12);
    let mut strange = chart();
    strange.title.clone_from(&long);
    strange.caption = Some(long.clone());
    strange.x.label.clone_from(&long);
    strange.y.label.clone_from(&long);
    strange.series[0].name.clone_from(&long);
    strange.series[1].points = [f64::NAN, f64::INFINITY, -1.0, 0.0].map(|x| Point { x, y: x, spread: None }).to_vec();
    let mut wide = comparison();
    wide.title.clone_from(&long);
    wide.groups[0].bars[0] = Bar { name: long.clone(), value: f64::NAN, text: long };
    for svg in [lines(&strange), bars(&wide), lines(&Lines::default()), bars(&Bars::default()), panels("", &[])] {
        assert!(is_balanced(&svg), "{svg}");
        assert!(!svg.contains("<script") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
    assert!(is_inside(&bars(&wide)));
    assert!(lines(&Lines::default()).contains("not measured"));
}

#[test]
fn a_chart_shows_its_names_units_and_round_numbers() {
    let svg = lines(&chart());
    for text in ["processor time, µs", "matches of 4<", ">30<", ">1,000<", "Medians of three", "2 messages a second"] {
        assert!(svg.contains(text), "{text} is not in\n{svg}");
    }
    let mut alone = chart();
    alone.series.truncate(1);
    assert!(!lines(&alone).contains("12,000 deliveries"), "a single line needs no legend");
}

#[test]
fn bars_are_as_long_as_their_values_within_their_group() {
    let svg = bars(&comparison());
    let lengths: Vec<f64> =
        svg.lines().filter(|line| line.starts_with("<rect class=\"f")).map(|line| numbers(line, "width")[0]).collect();
    assert_eq!(lengths.len(), 9);
    assert!((lengths[0] / lengths[2] - 14.3 / 24.0).abs() < 0.01);
    assert_eq!(lengths[2], lengths[5]);
}

/// Writes both pictures where `KIZUNA_FIGURES` says, to be looked at.
#[test]
#[ignore = "for a person who wants to look"]
fn pictures_to_look_at() {
    let Ok(folder) = std::env::var("KIZUNA_FIGURES") else { return };
    let folder = std::path::Path::new(&folder);
    fs::write(folder.join("lines.svg"), lines(&chart())).unwrap();
    fs::write(folder.join("panels.svg"), panels("all", &[chart(), chart(), chart()])).unwrap();
    fs::write(folder.join("bars.svg"), bars(&comparison())).unwrap();
}
