//! A chart of bars: groups below each other, each on a scale of its own that begins at 0.

use super::{
    Bars, Group,
    svg::{Anchor, Canvas, Style},
};

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 20.0;
/// Height of a bar, and from one to the next.
const BAR: f64 = 18.0;
const ROW: f64 = 25.0;
/// From a group's name to its first bar, and from its last bar to the next group.
const BELOW_NAME: f64 = 9.0;
const BETWEEN: f64 = 18.0;
/// From a bar to the texts at its ends.
const GAP: f64 = 8.0;
/// From one line of text to the next, in sizes of its letters.
const LEADING: f64 = 1.4;
/// The widest that a column of names or of texts may be: a third of the room.
const WIDEST: f64 = (WIDTH - 2.0 * MARGIN) / 3.0;

/// The whole picture; it is as high as its bars need.
#[expect(clippy::cast_precision_loss, reason = "lines and bars of one picture")]
pub(super) fn draw(chart: &Bars) -> String {
    let room = WIDTH - 2.0 * MARGIN;
    let title = Style::Title.wrap(&chart.title, room);
    let caption = Style::Small.wrap(chart.caption.as_deref().unwrap_or_default(), room);
    let group_height =
        |group: &Group| Style::Heading.size() + BELOW_NAME + group.bars.len() as f64 * ROW - (ROW - BAR) + BETWEEN;
    let titles = title.len() as f64 * Style::Title.size() * LEADING;
    let captions = caption.len() as f64 * Style::Small.size() * LEADING;
    let groups: f64 = chart.groups.iter().map(group_height).sum();
    let height = (MARGIN + titles + GAP + groups + captions).ceil() + MARGIN / 2.0;

    let mut canvas = Canvas::new(WIDTH, height, &chart.title);
    let mut y = MARGIN;
    for line in &title {
        canvas.text((MARGIN, y + Style::Title.size()), Anchor::Start, Style::Title, line);
        y += Style::Title.size() * LEADING;
    }
    y += GAP;
    let columns = Columns::of(chart);
    for group in &chart.groups {
        columns.group(&mut canvas, group, y);
        y += group_height(group);
    }
    for line in &caption {
        canvas.text((MARGIN, y + Style::Small.size() - 4.0), Anchor::Start, Style::Small, line);
        y += Style::Small.size() * LEADING;
    }
    canvas.finish()
}

/// What is the same in all groups.
#[derive(Debug)]
struct Columns<'a> {
    /// Names of bars, in the order in which they first appear: their places are their colours.
    names: Vec<&'a str>,
    /// Where bars begin.
    start: f64,
    /// How long the longest may be.
    length: f64,
}

impl<'a> Columns<'a> {
    fn of(chart: &'a Bars) -> Self {
        let bars = || chart.groups.iter().flat_map(|group| &group.bars);
        let mut names: Vec<&str> = Vec::new();
        for bar in bars() {
            if !names.contains(&bar.name.as_str()) {
                names.push(&bar.name);
            }
        }
        let widest = |width: f64, text: &str| width.max(Style::Label.width(text)).min(WIDEST);
        let name = names.iter().fold(0.0, |width, name| widest(width, name));
        let text = bars().fold(0.0, |width, bar| widest(width, &bar.text));
        let start = MARGIN + name + GAP;
        Self { names, start, length: WIDTH - MARGIN - text - GAP - start }
    }

    fn group(&self, canvas: &mut Canvas, group: &Group, top: f64) {
        let unit = if group.unit.is_empty() { String::new() } else { format!(", {}", group.unit) };
        let heading = Style::Heading.cut(&format!("{}{unit}", group.name), WIDTH - 2.0 * MARGIN);
        canvas.text((MARGIN, top + Style::Heading.size()), Anchor::Start, Style::Heading, &heading);
        let longest = group.bars.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
        let mut y = top + Style::Heading.size() + BELOW_NAME;
        for bar in &group.bars {
            let share = if longest > 0.0 && bar.value.is_finite() { (bar.value / longest).max(0.0) } else { 0.0 };
            // Even what is next to nothing shows that it was measured.
            let length = (share * self.length).max(1.0);
            let middle = y + BAR / 2.0 + 4.0;
            let name = Style::Label.cut(&bar.name, WIDEST);
            canvas.text((self.start - GAP, middle), Anchor::End, Style::Label, &name);
            canvas.bar(colour(&self.names, &bar.name), (self.start, y), (length, BAR));
            let text = Style::Label.cut(&bar.text, WIDEST);
            canvas.text((self.start + length + GAP, middle), Anchor::Start, Style::Label, &text);
            y += ROW;
        }
    }
}

/// The first name stands out; the second is grey, as what the first is measured by; then the other colours.
fn colour(names: &[&str], name: &str) -> usize {
    const ORDER: [usize; 6] = [0, 4, 1, 2, 3, 5];
    let place = names.iter().position(|other| *other == name).unwrap_or_default();
    ORDER[place % ORDER.len()]
}
