//! The picture that matters most: what a delivered message and an idle socket cost, here, at the floor and with Nakama.

use super::{
    numbers,
    results::{Results, Values},
    row::{Figure, Unit},
};
use crate::figure::{self, Bar, Bars, Group};

/// What is shown: the name of a row, of which the first figure is taken, and what it is called here.
const SHOWN: [(&str, &str); 3] = [
    ("paced-json", "processor time of a delivered message, 50 × 4 players × 20 a second"),
    ("unpaced-json", "the same as fast as it goes"),
    ("sockets", "resident memory of an idle socket"),
];

/// The picture as SVG.
///
/// # Errors
/// A row that it shows was not measured.
pub fn draw(results: &Results) -> Result<String, String> {
    data(results).map(|bars| figure::bars(&bars))
}

fn data(results: &Results) -> Result<Bars, String> {
    let conditions = &results.conditions;
    Ok(Bars {
        title: "What it costs".to_owned(),
        groups: SHOWN.iter().map(|(row, name)| group(results, row, name)).collect::<Result<_, _>>()?,
        caption: Some(format!(
            "Medians of {} rounds on {}, {} processors ({}). The floor is the least a server can do with the same libraries. Nakama is \
             3.40 with PostgreSQL, the server alone, on a machine of the same kind.",
            conditions.rounds, conditions.processor, conditions.processors, conditions.date
        )),
    })
}

fn group(results: &Results, row: &str, name: &str) -> Result<Group, String> {
    let missing = || format!("the picture shows {row}, which was not measured");
    let measured = results.rows.iter().find(|measured| measured.name == row).ok_or_else(missing)?;
    let (figure, values) = measured.row.figures.iter().zip(&measured.figures).next().ok_or_else(missing)?;
    let bars = bars(figure, values).ok_or_else(missing)?;
    let unit = if values.unit == Unit::Size { "KiB" } else { "µs" };
    Ok(Group { name: name.to_owned(), unit: unit.to_owned(), bars })
}

fn bars(figure: &Figure, values: &Values) -> Option<Vec<Bar>> {
    let measured = |name: &str, subject| {
        let value = values.of(subject)?.median;
        Some(Bar { name: name.to_owned(), value, text: numbers::median(value, values.unit) })
    };
    let nakama = figure.nakama?;
    let nakama = Bar { name: "Nakama 3.40".to_owned(), value: nakama.value, text: nakama.text.to_owned() };
    Some(vec![measured("Kizuna", 0)?, measured("the floor", 1)?, nakama])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::results::tests::example;

    const BOTH: [&str; 2] = ["Kizuna", "floor"];

    #[test]
    fn what_was_measured_stands_beside_what_is_known() {
        let mut results = example("paced-json", &[&[Some(14.3)], &[Some(21.0)]], &BOTH);
        assert!(draw(&results).unwrap_err().contains("unpaced-json"));
        results.rows.extend(example("unpaced-json", &[&[Some(1.2)], &[Some(1.4)]], &BOTH).rows);
        results.rows.extend(example("sockets", &[&[Some(4.7)], &[Some(8.9)]], &BOTH).rows);
        let bars = data(&results).unwrap();
        let texts: Vec<_> = bars.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "14.3 µs",
                "21.0 µs",
                "22 to 26 µs",
                "1.20 µs",
                "1.40 µs",
                "10.8 µs",
                "4.70 KiB",
                "8.90 KiB",
                "27 to 36 KB"
            ]
        );
        assert!(draw(&results).unwrap().contains("14.3 µs"));
    }

    #[test]
    fn a_row_without_figures_is_told() {
        let results = example("paced-json", &[&[None], &[Some(21.0)]], &BOTH);
        assert_eq!(draw(&results).unwrap_err(), "the picture shows paced-json, which was not measured");
    }
}
