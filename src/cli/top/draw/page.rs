//! One stream: how it stands, how far it is, its header, and what it says.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cli::clock::running;
use crate::cli::text::inline;
use crate::cli::top::model::{Model, Row, Tail};
use crate::cli::view::{Colours, Paint, in_words, rate};

use super::columns::{bar, percent, speed};
use super::line::Line;

/// A terminal with fewer rows than this has no row for the header.
const TALL: u16 = 8;

/// How many rows stand above the lines.
pub(super) fn head_rows(rows: u16) -> u16 {
    if rows < TALL { 2 } else { 4 }
}

/// Draws the page of the stream, with so many lines.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, (model, tail): (&Model, &Tail), lines: usize, colours: Colours, now: Timestamp) {
    let heads = head_rows(area.height);
    let row = model.row();
    title(Line::new(buffer, area, 0, colours), model, tail, row);
    progress(Line::new(buffer, area, 1, colours), row, now);
    if heads > 2 {
        numbers(Line::new(buffer, area, 2, colours), row, now);
        let mut line = Line::new(buffer, area, 3, colours);
        line.put(Paint::Dim, "header ").put(Paint::Plain, tail.header.as_deref().unwrap_or("none"));
    }
    for (number, (paint, text)) in (heads..).zip(tail.shown().take(lines)) {
        Line::new(buffer, area, number, colours).put(paint, text);
    }
}

fn title(mut line: Line<'_>, model: &Model, tail: &Tail, row: Option<&Row>) {
    if model.away.is_some() {
        line.put_bold(Paint::Bad, "no connection", true).put(Paint::Plain, "  ");
    }
    let (paint, state) = row.map_or((Paint::Warning, "not there"), |row| (row.paint(), row.state()));
    line.put_bold(Paint::Plain, &inline(&tail.name), true).put(Paint::Plain, "  ").put(paint, &inline(state));
    if let Some(title) = row.and_then(|row| row.job.title.as_deref()) {
        line.put(Paint::Plain, "  ").put(Paint::Plain, &inline(title));
    }
}

/// The bar, and how long it has taken and will take.
fn progress(mut line: Line<'_>, row: Option<&Row>, now: Timestamp) {
    let Some(row) = row else { return };
    if let Some(percent) = percent(row) {
        line.put(Paint::Plain, &format!("{percent:>4} "));
        let columns = (line.left() / 3).min(40);
        bar(&mut line, row, columns);
        line.put(Paint::Plain, " ");
    }
    let job = &row.job;
    let is_live = row.is_going() && !row.is_stale;
    let elapsed = job.elapsed(now).filter(|_| row.is_going()).map(running);
    let left = job.left(now).filter(|_| is_live).map(|left| format!("<{}", running(left))).unwrap_or_default();
    if let Some(elapsed) = elapsed {
        line.put(Paint::Plain, &format!("[{elapsed}{left}] "));
    }
    if let Some(each) = job.rate(now).filter(|_| is_live) {
        line.put(Paint::Plain, &format!("{} ", rate(each, job.units.as_deref().map(inline).as_deref())));
    }
    let words = if row.is_going() { in_words(job) } else { row.says() };
    line.put(if row.is_going() { Paint::Plain } else { row.paint() }, &words);
}

fn numbers(mut line: Line<'_>, row: Option<&Row>, now: Timestamp) {
    let Some(row) = row else { return };
    line.put(Paint::Dim, &format!("messages {}  listeners {}", row.entry.messages, row.listeners()));
    if !row.entry.nodes.is_empty() {
        let nodes: Vec<_> = row.entry.nodes.iter().map(|(node, count)| format!("{} {count}", inline(node))).collect();
        line.put(Paint::Dim, &format!(" ({}{})", nodes.join(", "), if row.is_counted() { ", with this one" } else { "" }));
    }
    let each = speed(row.speed(now));
    if !each.is_empty() {
        line.put(Paint::Dim, &format!("  {each} messages/s"));
    }
}
