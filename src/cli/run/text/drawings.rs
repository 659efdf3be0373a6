//! Which drawings are published: some ten a second of a bar, one a second of anything else, and always the last.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::figures::{Figures, figures, length};

/// Between two drawings of a bar.
const BAR: Duration = Duration::from_millis(100);

/// Between two of something that does not say how far it is, a spinner for instance.
const OTHER: Duration = Duration::from_secs(1);

/// After this time without another bar, one whose place something else has taken is gone. Some programs, cargo for instance, write
/// lines between two drawings.
const GONE: Duration = Duration::from_secs(1);

/// More rows than that are no bars.
const MOST_ROWS: usize = 16;

/// What is published of drawings.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown {
    /// How far the first row that says so is.
    pub(crate) figures: Option<Figures>,
    pub(crate) text: String,
}

/// The drawings that stand there now.
#[derive(Debug, Default)]
pub(crate) struct Drawings {
    rows: BTreeMap<usize, String>,
    /// Not published as it stands.
    is_changed: bool,
    /// When something was published last.
    published: Option<Instant>,
    /// When something else took the place of a bar; none if another bar has followed.
    replaced: Option<Instant>,
    /// Of the film that ffmpeg works on, in seconds.
    length: Option<f64>,
}

impl Drawings {
    /// Takes a drawing. `is_new` if its row is below all others, so that those stay as they are.
    pub(crate) fn draw(&mut self, row: usize, text: String, is_new: bool) {
        if is_new {
            self.rows.retain(|other, _| *other >= row);
        }
        self.rows.insert(row, text);
        while self.rows.len() > MOST_ROWS {
            self.rows.pop_first();
        }
        self.is_changed = true;
    }

    /// Whether a drawing says how far its program is.
    pub(crate) fn is_bar(&self, text: &str) -> bool {
        figures(text, self.length).is_some()
    }

    /// Takes note of what a text does to the bars. True if it takes the place of the last drawing of one, which is to be published
    /// before it is gone.
    pub(crate) fn ends_bar(&mut self, row: usize, text: &str, now: Instant) -> bool {
        if self.is_bar(text) {
            self.replaced = None;
            return false;
        }
        let ends = self.rows.get(&row).is_some_and(|bar| self.is_bar(bar));
        if ends {
            self.replaced = Some(now);
        }
        self.is_changed && ends
    }

    /// When a bar will be gone.
    pub(crate) fn gone(&self) -> Option<Instant> {
        self.replaced.map(|replaced| replaced + GONE)
    }

    /// Whether a bar is gone. Told once.
    pub(crate) fn take_gone(&mut self, now: Instant) -> bool {
        self.replaced.take_if(|replaced| *replaced + GONE <= now).is_some()
    }

    /// Takes note of an ordinary line.
    pub(crate) fn line(&mut self, text: &str) {
        self.rows.clear();
        self.length = length(text).or(self.length);
    }

    /// When to publish; none if nothing has changed.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let has_bar = || self.rows.values().any(|text| self.is_bar(text));
        self.is_changed.then(|| self.published.map_or(now, |published| published + if has_bar() { BAR } else { OTHER }))
    }

    /// What is to be published, if anything has changed.
    pub(crate) fn publish(&mut self, now: Instant) -> Option<Shown> {
        if !std::mem::take(&mut self.is_changed) || self.rows.is_empty() {
            return None;
        }
        self.published = Some(now);
        let figures = self.rows.values().find_map(|text| figures(text, self.length));
        let texts: Vec<_> = self.rows.values().map(|text| text.trim()).collect();
        Some(Shown { figures, text: texts.join(" \u{b7} ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_thinned_and_the_last_is_kept() {
        let (mut drawings, start) = (Drawings::default(), Instant::now());
        let mut texts = Vec::new();
        for step in 0..=1000 {
            // A thousand drawings in a second.
            let now = start + Duration::from_millis(step);
            drawings.draw(0, format!("{step}/1000"), false);
            if drawings.due(now).is_some_and(|due| due <= now) {
                texts.push(drawings.publish(now).unwrap().text);
            }
        }
        assert_eq!((texts.len(), texts.first().map(String::as_str)), (11, Some("0/1000")));
        drawings.draw(0, "the last".to_owned(), false);
        assert_eq!(drawings.due(start), Some(start + Duration::from_secs(2)));
        assert_eq!(drawings.publish(start).unwrap(), Shown { figures: None, text: "the last".to_owned() });
        assert_eq!((drawings.due(start), drawings.publish(start)), (None, None));
    }

    #[test]
    fn the_upper_of_two_bars_counts() {
        let (mut drawings, now) = (Drawings::default(), Instant::now());
        drawings.draw(3, "outer 1/4".to_owned(), false);
        drawings.draw(4, "inner 2/9 ".to_owned(), false);
        let shown = drawings.publish(now).unwrap();
        assert_eq!(shown.figures.map(|figures| (figures.k, figures.total)), Some((1.0, 4.0)));
        assert_eq!(shown.text, "outer 1/4 \u{b7} inner 2/9");
        // The next bar, on a row of its own.
        drawings.draw(5, "1/2".to_owned(), true);
        assert_eq!(drawings.publish(now).unwrap().text, "1/2");
    }
}
