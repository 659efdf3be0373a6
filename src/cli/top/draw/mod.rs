//! What the model looks like. Pure: the same model at the same time is the same picture.

mod columns;
mod line;
mod page;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cli::clock::clock_time;
use crate::cli::text::{cut, inline, width};
use crate::cli::view::{Colours, NO_NEWS, Paint};

use super::keys::HELP;
use super::model::{Filter, Model, Sort};
use columns::{divide, speed};
use line::Line;

/// A terminal with fewer rows than this has one row of head, and not two.
const TALL: u16 = 8;

/// How many rows of the table, and how many lines of one stream, a terminal of this many rows and columns has room for.
pub(super) fn room((rows, _): (u16, u16)) -> (usize, usize) {
    let left = |taken: u16| usize::from(rows.saturating_sub(taken)).max(1);
    // Head, headings and foot; or head and foot alone.
    (left(head_rows(rows) + 2), left(page::head_rows(rows) + 1))
}

fn head_rows(rows: u16) -> u16 {
    if rows < TALL { 1 } else { 2 }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, colours: Colours, now: Timestamp) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let heads = head_rows(area.height);
    let (rows, lines) = room((area.height, area.width));
    if model.is_help {
        connection(Line::new(buffer, area, 0, colours), model);
        help(buffer, area, colours);
    } else if let Some(tail) = &model.tail {
        page::draw(buffer, area, (model, tail), lines, colours, now);
    } else {
        connection(Line::new(buffer, area, 0, colours), model);
        if heads > 1 {
            counts(Line::new(buffer, area, 1, colours), model);
        }
        table(buffer, area, heads, rows, (model, colours, now));
    }
    foot(Line::new(buffer, area, area.height.saturating_sub(1), colours), model);
}

/// Where the broker is, and whether it is there.
fn connection(mut line: Line<'_>, model: &Model) {
    match &model.away {
        None => line.put_bold(Paint::Plain, &inline(&model.address), true).put(Paint::Good, " connected"),
        // In front, since it counts more than where that was.
        Some(_) => {
            line.put_bold(Paint::Bad, "no connection", true).put(Paint::Plain, " ").put_bold(Paint::Plain, &inline(&model.address), true)
        }
    };
    if let Some(since) = model.held() {
        line.put(Paint::Plain, "  ").put_bold(Paint::Warning, &format!("held since {}", clock_time(since)), true);
    }
    if !model.prefix.is_empty() {
        line.put(Paint::Dim, &format!("  only {}", inline(&model.prefix)));
    }
}

/// How many streams stand how: what has gone wrong comes first.
fn counts(mut line: Line<'_>, model: &Model) {
    let counts = &model.counts;
    for (state, count) in &counts.states {
        let paint = match *state {
            "failed" | "lost" => Paint::Bad,
            "aborted" | NO_NEWS => Paint::Warning,
            "running" => Paint::Good,
            _ => Paint::Plain,
        };
        line.put_bold(paint, &count.to_string(), true).put(paint, &format!(" {state}")).put(Paint::Plain, "  ");
    }
    let told = speed(counts.speed);
    if !told.is_empty() {
        line.put(Paint::Plain, &format!("{told} messages/s"));
    }
}

fn table(buffer: &mut Buffer, area: Rect, heads: u16, rows: usize, (model, colours, now): (&Model, Colours, Timestamp)) {
    let longest = model.rows().map(|(row, _)| width(&inline(&row.name))).max().unwrap_or(0);
    let (columns, gap) = divide(usize::from(area.width), longest);
    let gap = " ".repeat(gap);
    let mut line = Line::new(buffer, area, heads, colours);
    for (index, (column, width)) in columns.iter().enumerate() {
        let mark = if column.is_sorted(model.sort) { arrow(model) } else { "" };
        line.put(Paint::Plain, if index > 0 { &gap } else { "" });
        line.cell(Paint::Dim, &format!("{}{mark}", column.heading()), *width, column.is_number());
    }
    let mut is_empty = true;
    for (number, (row, is_marked)) in (heads + 1..).zip(model.rows().take(rows)) {
        is_empty = false;
        let line = Line::new(buffer, area, number, colours);
        let mut line = if is_marked { line.mark() } else { line };
        for (index, (column, width)) in columns.iter().enumerate() {
            line.put(Paint::Plain, if index > 0 { &gap } else { "" });
            column.put(&mut line, row, *width, now);
        }
    }
    if is_empty {
        let mut line = Line::new(buffer, area, heads + 1, colours);
        line.put(Paint::Dim, &nothing(model));
    }
}

/// Which way the rows are sorted.
fn arrow(model: &Model) -> &'static str {
    match (model.sort, model.is_reversed) {
        (Sort::State | Sort::Name | Sort::Quiet, false) => "↑",
        (Sort::State | Sort::Name | Sort::Quiet, true) => "↓",
        (Sort::Progress | Sort::Listeners | Sort::Messages | Sort::Speed, false) => "↓",
        (Sort::Progress | Sort::Listeners | Sort::Messages | Sort::Speed, true) => "↑",
    }
}

/// Why there are no rows.
fn nothing(model: &Model) -> String {
    match model.span() {
        (.., 0) if model.away.is_some() => "nothing is known of any stream".to_owned(),
        (.., 0) if model.prefix.is_empty() => "there are no streams".to_owned(),
        (.., 0) => format!("no stream begins with \"{}\"", inline(&model.prefix)),
        (.., all) => format!("none of {all} streams is so; f and / show others"),
    }
}

/// What is searched for, why there is no connection, or which keys there are; and which rows are seen.
fn foot(mut line: Line<'_>, model: &Model) {
    let (first, last, found, all) = model.span();
    let total = if found == all { String::new() } else { format!(" ({all})") };
    let span = if found == 0 { String::new() } else { format!("{first}-{last}/{found}{total}") };
    let span = if model.tail.is_some() || model.is_help { String::new() } else { span };
    if let Some(away) = &model.away {
        line.put(Paint::Warning, &inline(away));
    } else if model.is_typing {
        line.put_bold(Paint::Plain, &format!("/{}", inline(&model.search)), true).put(Paint::Dim, "▏ Enter keeps it, Esc ends it");
    } else if let Some(tail) = &model.tail {
        let below = tail.below();
        if below > 0 {
            line.put_bold(Paint::Warning, &format!("{below} lines below"), true).put(Paint::Plain, "  ");
        }
        line.put(Paint::Dim, "Esc back  ↑↓ scroll  ? keys  q quit");
    } else {
        let mut set = Vec::new();
        if !model.search.is_empty() {
            set.push(format!("/{}", inline(&model.search)));
        }
        if model.filter != Filter::All {
            set.push(model.filter.word().to_owned());
        }
        if !set.is_empty() {
            line.put_bold(Paint::Warning, &set.join("  "), true).put(Paint::Plain, "  ");
        }
        let hints = format!("? keys  q quit  Enter shows  / search  f filter  s {}", model.sort.word());
        let room = line.left().saturating_sub(width(&span) + 2);
        line.put(Paint::Dim, &cut(&hints, room));
    }
    if line.left() > width(&span) {
        line.put_last(Paint::Dim, &span);
    }
}

fn help(buffer: &mut Buffer, area: Rect, colours: Colours) {
    for (row, (keys, meaning)) in (1..).zip(HELP) {
        let mut line = Line::new(buffer, Rect { height: area.height.saturating_sub(1), ..area }, row, colours);
        line.cell(Paint::Plain, keys, 10, false).put(Paint::Dim, meaning);
    }
}
