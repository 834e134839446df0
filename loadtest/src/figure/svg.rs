//! The drawing surface: a few shapes, text, and the styles of both colour schemes.

use std::fmt::Write;

/// Colours of series in light and in dark surroundings: blue, orange, green, purple, grey, brown. From Okabe and Ito's set, which the
/// colour-blind can tell apart, adjusted in brightness.
const COLOURS: &[(&str, &str)] = &[
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#f0a04b"),
    ("#00875f", "#3fc99a"),
    ("#a3437f", "#e29ac6"),
    ("#6e7781", "#9aa4af"),
    ("#7a5c00", "#e3cf57"),
];
/// Width of a character in sizes of the font, on the safe side.
const CHARACTER: f64 = 0.6;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Title,
    Heading,
    Label,
    Small,
}

impl Style {
    /// Height of its letters in pixels.
    pub(super) fn size(self) -> f64 {
        match self {
            Self::Title => 15.0,
            Self::Heading => 13.0,
            Self::Label => 12.0,
            Self::Small => 11.0,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Heading => "heading",
            Self::Label => "label",
            Self::Small => "small",
        }
    }

    /// About how wide a text is in pixels; seldom less than it is.
    #[expect(clippy::cast_precision_loss, reason = "lengths of labels")]
    pub(super) fn width(self, text: &str) -> f64 {
        text.chars().count() as f64 * self.size() * CHARACTER
    }

    /// Breaks a text into lines no wider than `width` where it has spaces; a longer word is cut.
    pub(super) fn wrap(self, text: &str, width: f64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            let word = self.cut(word, width);
            match lines.last_mut() {
                Some(line) if self.width(&format!("{line} {word}")) <= width => {
                    line.push(' ');
                    line.push_str(&word);
                }
                _ => lines.push(word),
            }
        }
        lines
    }

    /// A text no wider than `width`, with an ellipsis in place of what it lost.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "characters of a line")]
    pub(super) fn cut(self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let most = (width / self.width(" ") + 1e-6).max(1.0) as usize;
        text.chars().take(most - 1).chain(['…']).collect()
    }
}

/// Which end of a text lies at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture being drawn. Places are in pixels from the upper left corner.
#[derive(Debug)]
pub(super) struct Canvas {
    text: String,
}

impl Canvas {
    /// An empty picture; `title` is for those who cannot see it.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escape(title);
        let style = style();
        let text = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}">
<style>{style}</style>
<rect class="ground" x="0.5" y="0.5" width="{}" height="{}" rx="8"/>
"##,
            width - 1.0,
            height - 1.0
        );
        Self { text }
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// A text whose letters stand on `at.1`.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, style: Style, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let (x, y, class, text) = (at.0, at.1, style.class(), escape(text));
        self.add(format_args!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}"{anchor}>{text}</text>"#));
    }

    /// A thin line that belongs to the frame: class `grid` or `axis`.
    pub(super) fn rule(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#));
    }

    /// A line of series `number` through all points.
    pub(super) fn curve(&mut self, number: usize, points: &[(f64, f64)]) {
        let mut places = String::new();
        for (x, y) in points {
            // Writing to a String cannot fail.
            let _ = write!(places, "{x:.1},{y:.1} ");
        }
        let colour = number % COLOURS.len();
        self.add(format_args!(r#"<polyline class="line c{colour}" points="{}"/>"#, places.trim_end()));
    }

    /// A thin upright line of series `number` with short ends: from the lowest to the highest value.
    pub(super) fn whisker(&mut self, number: usize, x: f64, (low, high): (f64, f64)) {
        const HALF: f64 = 3.5;
        let colour = number % COLOURS.len();
        let (left, right) = (x - HALF, x + HALF);
        self.add(format_args!(
            r#"<path class="whisker c{colour}" d="M{x:.1} {low:.1}V{high:.1}M{left:.1} {low:.1}H{right:.1}M{left:.1} {high:.1}H{right:.1}"/>"#
        ));
    }

    /// The mark of series `number`: each has a shape of its own besides its colour.
    pub(super) fn mark(&mut self, number: usize, (x, y): (f64, f64)) {
        let colour = number % COLOURS.len();
        match number % 4 {
            0 => self.add(format_args!(r#"<circle class="f{colour}" cx="{x:.1}" cy="{y:.1}" r="4"/>"#)),
            1 => self.add(format_args!(
                r#"<rect class="f{colour}" x="{:.1}" y="{:.1}" width="7" height="7"/>"#,
                x - 3.5,
                y - 3.5
            )),
            2 => self.add(format_args!(r#"<path class="f{colour}" d="M{x:.1} {:.1}l4.6 8h-9.2z"/>"#, y - 5.0)),
            _ => self.add(format_args!(r#"<path class="f{colour}" d="M{x:.1} {:.1}l5 5l-5 5l-5 -5z"/>"#, y - 5.0)),
        }
    }

    /// A bar of series `number`.
    pub(super) fn bar(&mut self, number: usize, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let colour = number % COLOURS.len();
        self.add(format_args!(
            r#"<rect class="f{colour}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2"/>"#
        ));
    }

    fn add(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{shape}");
    }
}

/// The ground is drawn too: a page may be dark where the reader's system is light.
fn style() -> String {
    let mut light = String::from(
        "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#24292f}\
         .title{font-size:15px;font-weight:600}.heading{font-size:13px;font-weight:600}.label{font-size:12px}\
         .small{font-size:11px;fill:#57606a}.ground{fill:#fff;stroke:#d0d7de}\
         .grid{stroke:#e6e9ed}.axis{stroke:#8c959f}.line{fill:none;stroke-width:2;stroke-linejoin:round}\
         .whisker{fill:none;stroke-width:1.2}",
    );
    let mut dark = String::from(
        "text{fill:#e6edf3}.small{fill:#9aa4af}.ground{fill:#0d1117;stroke:#30363d}.grid{stroke:#21262d}.axis{stroke:#6e7681}",
    );
    for (number, (on_light, on_dark)) in COLOURS.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(light, ".c{number}{{stroke:{on_light}}}.f{number}{{fill:{on_light}}}");
        let _ = write!(dark, ".c{number}{{stroke:{on_dark}}}.f{number}{{fill:{on_dark}}}");
    }
    format!("{light}@media(prefers-color-scheme:dark){{{dark}}}")
}

/// Text as XML has it; control characters, which XML knows no way to write, become spaces.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a b=\"c\">&'\u{1b}"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39; ");
    }

    #[test]
    fn long_texts_are_broken_at_spaces_and_long_words_cut() {
        let lines = Style::Label.wrap("one two three incomprehensibilities", Style::Label.width("one two three"));
        assert_eq!(lines, ["one two three", "incomprehens…"]);
        assert!(Style::Label.wrap("  ", 100.0).is_empty());
    }
}
