//! Which rows stand below the lines: as many bars as fit, who is waited for, and how many more there are.

use jiff::Timestamp;

use crate::cli::ending::How;
use crate::cli::text::{inline, width};

use super::bar::{self, Columns};
use super::colour::{Colours, Paint};
use super::job::{Job, State};
use super::screen::Row;

/// The rows for a terminal of this many rows and columns, fewer than it has.
pub(super) fn rows(jobs: &[Job], (rows, columns): (usize, usize), colours: Colours) -> Vec<Row> {
    let room = rows.saturating_sub(1);
    let bars: Vec<(usize, &Job)> =
        jobs.iter().enumerate().filter(|(_, job)| job.has_bar && matches!(job.state, State::Running | State::Left)).collect();
    let waiting: Vec<&Job> = jobs.iter().filter(|job| job.state == State::Waiting).collect();
    let bad = jobs.iter().any(|job| matches!(job.state, State::Ended(How::Failed | How::Lost | How::Aborted)));
    // Who is waited for is named if there is room for more than that.
    let notes = usize::from(!waiting.is_empty() && room > 1);
    // The row that counts the others is needed if not all fit, and as long as something has gone wrong.
    let counts = bars.len() + notes > room || bad && bars.len() + notes > 0;
    let shown = bars.len().min(room.saturating_sub(notes + usize::from(counts)));
    let bars = bars.get(..shown).unwrap_or_default();

    let (divided, now) = (Columns::new(columns, bars.iter().map(|(_, job)| *job)), Timestamp::now());
    let mut drawn: Vec<Row> = bars.iter().map(|(index, job)| bar::row(job, *index, divided, colours, now)).collect();
    if notes > 0 {
        drawn.push(bar::note(&waiting_for(&waiting, columns), columns, colours, Paint::Dim));
    }
    if counts {
        let is_shown = |job: &Job| bars.iter().any(|(_, shown)| std::ptr::eq(*shown, job)) || notes > 0 && job.state == State::Waiting;
        let others: Vec<&Job> = jobs.iter().filter(|job| !is_shown(job)).collect();
        let text = format!("{} more: {}", others.len(), count(&others));
        let paint = if bad { Paint::Bad } else { Paint::Plain };
        drawn.push(bar::note(&text, columns, colours, paint));
    }
    drawn.truncate(room);
    drawn
}

/// The colour of an end.
pub(in crate::cli) fn paint_of(how: How) -> Paint {
    match how {
        How::Failed | How::Lost => Paint::Bad,
        How::Aborted => Paint::Warning,
        How::Done => Paint::Good,
        How::Ended => Paint::Plain,
    }
}

/// `waiting for a, b and 3 more`.
fn waiting_for(jobs: &[&Job], columns: usize) -> String {
    let mut text = "waiting for ".to_owned();
    for (index, job) in jobs.iter().enumerate() {
        let (name, left) = (inline(&job.name), jobs.len() - index);
        if index > 0 && width(&text) + width(&name) + 16 > columns {
            return format!("{text} and {left} more");
        }
        if index > 0 {
            text += ", ";
        }
        text += &name;
    }
    text
}

/// `15 streams: 1 failed, 14 done`, once all of several have ended and not all of them well.
pub(super) fn tally(jobs: &[Job]) -> Option<String> {
    let all_ended = jobs.iter().all(|job| matches!(job.state, State::Ended(_)));
    let bad = jobs.iter().any(|job| matches!(job.state, State::Ended(How::Failed | How::Lost | How::Aborted)));
    (jobs.len() > 1 && all_ended && bad).then(|| format!("{} streams: {}", jobs.len(), count(&jobs.iter().collect::<Vec<_>>())))
}

/// `1 failed, 3 running, 1 done`: what has gone wrong comes first.
fn count(jobs: &[&Job]) -> String {
    let kinds: [(State, &str); 9] = [
        (State::Ended(How::Failed), "failed"),
        (State::Ended(How::Lost), "lost"),
        (State::Ended(How::Aborted), "aborted"),
        (State::Left, "left"),
        (State::Running, "running"),
        (State::Waiting, "waiting"),
        (State::Unknown, "unknown"),
        (State::Ended(How::Done), "done"),
        (State::Ended(How::Ended), "ended"),
    ];
    let counted = kinds.map(|(state, word)| (jobs.iter().filter(|job| job.state == state).count(), word));
    let told: Vec<String> = counted.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    told.join(", ")
}
