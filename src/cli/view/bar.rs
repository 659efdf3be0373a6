//! A job as a row: its name, a bar, how far it is, and how long that takes.

use jiff::Timestamp;

use crate::cli::clock::running;
use crate::cli::text::{beginning, cut, inline, padded, width};

use super::amount::{amount, is_percentage, rate};
use super::colour::{Colours, Paint};
use super::job::Job;
use super::screen::Row;

/// How the rows are divided, the same for all so that they stand in columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    /// What a row may take. The last column stays free: some terminals wrap a row that reaches it.
    all: usize,
    label: usize,
    bar: usize,
}

/// What is said of a job that cannot be heard.
pub(in crate::cli) const NO_NEWS: &str = "no news";

/// Texts that are cut shorter than this say nothing.
const SHORTEST_TEXT: usize = 6;

/// No row shows more characters of a text, which may be a megabyte that is drawn twenty times a second.
const LONGEST_TEXT: usize = 1000;

impl Columns {
    pub(super) fn new<'j>(columns: usize, jobs: impl Iterator<Item = &'j Job>) -> Self {
        let all = columns.saturating_sub(1);
        let label = jobs.map(|job| width(&label(job))).max().unwrap_or_default();
        Self { all, label: label.min((columns / 3).max(12)), bar: if columns < 60 { columns / 6 } else { (columns / 4).min(40) } }
    }
}

/// The name of a job, and its title.
pub(super) fn label(job: &Job) -> String {
    match &job.title {
        Some(title) => format!("{} {}", inline(&job.name), inline(beginning(title, LONGEST_TEXT))),
        None => inline(&job.name),
    }
}

/// The row of a job.
pub(super) fn row(job: &Job, index: usize, columns: Columns, colours: Colours, now: Timestamp) -> Row {
    let mut parts = vec![(Paint::Name(index), padded(&label(job), columns.label))];
    if let Some(share) = job.share() {
        parts.push((Paint::Plain, format!(" {:>3.0}% ", (share * 100.0).floor())));
        let (done, rest) = halves(share, columns.bar);
        parts.push((Paint::Good, done));
        parts.push((Paint::Dim, rest));
    }
    let taken: usize = parts.iter().map(|(_, text)| width(text)).sum();
    let tail = tail(job, columns.all.saturating_sub(taken + 1), now);
    if !tail.is_empty() {
        parts.push((Paint::Plain, format!(" {tail}")));
    }
    finish(parts, columns.all, colours, job.silent_since.is_some())
}

/// A row that is one text.
pub(super) fn note(text: &str, columns: usize, colours: Colours, paint: Paint) -> Row {
    finish(vec![(paint, text.to_owned())], columns.saturating_sub(1), colours, false)
}

/// Joins the parts of a row, without what does not fit. What is stale is dim as a whole.
fn finish(parts: Vec<(Paint, String)>, most: usize, colours: Colours, is_stale: bool) -> Row {
    let mut row = Row::default();
    for (paint, text) in parts {
        let text = cut(&text, most.saturating_sub(row.width));
        row.width += width(&text);
        row.text += &colours.paint(if is_stale { Paint::Dim } else { paint }, &text);
    }
    row
}

/// `3/10 steps [00:12<00:28, 4 s/step] text`, or as much of it as fits, the times first.
fn tail(job: &Job, most: usize, now: Timestamp) -> String {
    let units = job.units.as_deref().map(inline);
    let (full, short) =
        if is_percentage(job.total, units.as_deref()) { Default::default() } else { (counted(job, units.as_deref()), counted(job, None)) };
    let rate = job.rate(now).map(|per_second| rate(per_second, units.as_deref())).unwrap_or_default();
    let (times, with_rate) = (times(job, "", now), times(job, &rate, now));
    let choices = [(&full, &with_rate), (&full, &times), (&short, &times), (&String::new(), &times), (&short, &String::new())];
    // That nothing is heard of a job is more than what was heard last.
    let news = if job.silent_since.is_some() { NO_NEWS } else { "" };
    let room = if news.is_empty() { most } else { most.saturating_sub(width(news) + 1) };
    let fits = choices.iter().map(|(amount, times)| joined(amount, times)).find(|text| width(text) <= room);
    let tail = joined(&fits.unwrap_or_default(), news);
    let said = job.text.as_deref().filter(|_| news.is_empty()).map(|text| inline(beginning(text, LONGEST_TEXT))).unwrap_or_default();
    let room = most.saturating_sub(width(&tail) + 1);
    if room >= SHORTEST_TEXT.min(width(&said)) { joined(&tail, &cut(&said, room)) } else { tail }
}

/// How far a job is, for a line: `3/10 steps cooling`, or its title.
pub(in crate::cli) fn in_words(job: &Job) -> String {
    let units = job.units.as_deref().map(inline);
    let told = joined(&counted(job, units.as_deref()), &job.text.as_deref().map(inline).unwrap_or_default());
    if told.is_empty() { job.title.as_deref().map(inline).unwrap_or_default() } else { told }
}

/// `3/10 steps`, or nothing if the job does not count.
fn counted(job: &Job, units: Option<&str>) -> String {
    if job.k.is_none() && job.total.is_none() {
        return String::new();
    }
    amount(job.k.unwrap_or_default(), job.total, units)
}

/// `[00:12<00:28, 4 s/step]`, as far as it is known.
fn times(job: &Job, rate: &str, now: Timestamp) -> String {
    let elapsed = job.elapsed(now).map(running).unwrap_or_default();
    let left = job.left(now).map(|left| format!("<{}", running(left))).unwrap_or_default();
    let times = format!("{elapsed}{left}");
    match (times.is_empty(), rate.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!("[{times}]"),
        (true, false) => format!("[{rate}]"),
        (false, false) => format!("[{times}, {rate}]"),
    }
}

/// Both, with a space between them if it takes one.
fn joined(left: &str, right: &str) -> String {
    format!("{left} {right}").trim().to_owned()
}

/// A bar: the part that is done, and the rest.
pub(in crate::cli) fn halves(share: f64, columns: usize) -> (String, String) {
    let done = eighths(share, columns);
    let rest = "─".repeat(columns.saturating_sub(width(&done)));
    (done, rest)
}

/// The part of the bar that is done, as fine as an eighth of a column.
fn eighths(share: f64, columns: usize) -> String {
    let eighths = (share * columns as f64 * 8.0).floor() as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::monitor::{Progress, Start};

    fn job(name: &str, title: &str, k: f64) -> Job {
        let mut job = Job::new(name.to_owned());
        job.start(Start { started: Some("2026-11-28T12:00:00Z".to_owned()), ..Start::new(title).of(10.0).units("steps") }, None);
        job.step(Progress::new(k).text("cooling down").into());
        job
    }

    fn shown(jobs: &[Job], columns: usize) -> Vec<String> {
        let now = "2026-11-28T12:00:12Z".parse().unwrap();
        let divided = Columns::new(columns, jobs.iter());
        jobs.iter().map(|job| row(job, 0, divided, Colours(false), now)).map(|row| row.text).collect()
    }

    #[test]
    fn rows_stand_in_columns_and_are_narrower_than_the_terminal() {
        let jobs = [job("fit-1", "decay", 3.0), job("計算", "日本語の題", 10.0)];
        assert_eq!(
            shown(&jobs, 100),
            [
                "fit-1 decay      30% ███████▌───────────────── 3/10 steps [00:12<00:28, 4 s/step] cooling down",
                "計算 日本語の題 100% █████████████████████████ 10/10 steps [00:12<00:00, 1.2 s/step] cooling down"
            ]
            .map(|row| row.to_owned())
        );
        assert_eq!(shown(&jobs, 40), ["fit-1 decay    30% █▊──── [00:12<00:28]", "計算 日本語…  100% ██████ [00:12<00:00]"]);
        for columns in 0..250 {
            assert!(shown(&jobs, columns).iter().all(|row| width(row) < columns.max(1)), "{columns}");
        }
        assert!(shown(&jobs, 300)[1].contains(&format!(" {} ", "█".repeat(40))));
    }

    /// As a command under `run` tells them.
    #[test]
    fn percentages_are_told_once() {
        let mut job = job("build", "", 3.0);
        job.step(Progress::new(42.0).of(100.0).units("%").text("unpacking").into());
        assert_eq!(shown(&[job], 80)[0], "build   42% ████████▍─────────── [00:12<00:17, 3.5 %/s] unpacking");
    }

    /// Whatever numbers and texts a job sends.
    #[test]
    fn no_row_is_wider_than_the_terminal() {
        let amounts = [0.0, -1.0, 1e-300, 1e308, -1e308, 0.1 + 0.2, f64::MAX];
        let texts = ["", "\u{301}", "👩‍👩‍👧\u{fe0f}", "لا", "日本語の題", "\u{1100}\u{1161}\u{11a8}", "\u{200d}\u{202e}a\tb\n"];
        for (k, total) in amounts.iter().flat_map(|k| amounts.iter().map(move |total| (*k, *total))) {
            for text in texts {
                let mut job = job(&format!("x{text}"), &text.repeat(9), 0.0);
                job.step(Progress::new(k).of(total).units(text).text(text.repeat(30)).into());
                for columns in [0, 1, 2, 5, 13, 40, 80] {
                    let jobs = [job];
                    assert!(shown(&jobs, columns).iter().all(|row| width(row) < columns.max(1)), "{k}/{total} {text:?} {columns}");
                    [job] = jobs;
                }
            }
        }
    }

    #[test]
    fn what_is_not_heard_of_stands_still() {
        let mut job = job("fit", "", 3.0);
        job.silent_since = Some("2026-11-28T12:00:10Z".parse().unwrap());
        let jobs = [job];
        assert!(shown(&jobs, 100)[0].ends_with("3/10 steps [00:10<00:23, 3.33 s/step] no news"));
        // It is said on a phone as well.
        assert!(shown(&jobs, 40)[0].ends_with(" no news"), "{:?}", shown(&jobs, 40));
    }
}
