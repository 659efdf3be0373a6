//! How far a program is, by what its bar says.

/// How far it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) k: f64,
    pub(crate) total: f64,
    pub(crate) units: Option<&'static str>,
}

impl Figures {
    fn percent(k: f64) -> Self {
        Self { k, total: 100.0, units: Some("%") }
    }
}

/// What a bar says: `12/345` if it does not contradict a percentage, or else the percentage. `length` is that of the film that
/// ffmpeg works on, in seconds.
pub(crate) fn figures(text: &str, length: Option<f64>) -> Option<Figures> {
    let text = without_colours(text);
    if let Some((k, total)) = time(&text, "time=").zip(length) {
        return (k <= total).then_some(Figures { k, total, units: Some("s") });
    }
    let (mut percent, mut fraction) = (None, None);
    let mut rest = text.as_str();
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let starts = first.is_ascii_digit() && !(before.is_alphanumeric() || matches!(before, '.' | ':' | '-' | '/' | '_'));
        let (number, after) = rest.split_at(if starts { digits(rest) } else { first.len_utf8() });
        if starts && let Ok(k) = number.parse::<f64>() {
            if percent.is_none() && after.starts_with('%') && k <= 100.0 {
                percent = Some(k);
            } else if fraction.is_none() {
                fraction = after.strip_prefix('/').and_then(total).filter(|total| k <= *total).map(|total| (k, total));
            }
        }
        before = number.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    match (fraction, percent) {
        (Some((k, total)), percent) if percent.is_none_or(|percent| (k / total * 100.0 - percent).abs() <= 1.5) => {
            Some(Figures { k, total, units: None })
        }
        (_, Some(percent)) => Some(Figures::percent(percent)),
        _ => curl(&text).map(Figures::percent),
    }
}

/// The length of the film, in seconds, as ffmpeg tells it before it begins.
pub(crate) fn length(text: &str) -> Option<f64> {
    time(text, "Duration: ")
}

/// The bytes of a number at the start of a text.
fn digits(text: &str) -> usize {
    let mut has_point = false;
    let end = text.bytes().position(|byte| {
        let is_point = byte == b'.' && !has_point;
        has_point |= is_point;
        !(byte.is_ascii_digit() || is_point)
    });
    end.unwrap_or(text.len())
}

/// The number behind a slash, unless it is part of a path or a date.
fn total(text: &str) -> Option<f64> {
    let (number, after) = text.split_at(digits(text));
    let total = number.parse().ok().filter(|total: &f64| *total > 0.0 && total.is_finite())?;
    (!after.starts_with(['/', '-', '_'])).then_some(total)
}

/// The first column of the table that curl draws, which is a percentage.
fn curl(text: &str) -> Option<f64> {
    let columns: Vec<_> = text.split_whitespace().collect();
    let are_times = columns.get(8..11).is_some_and(|times| times.iter().all(|time| time.contains(':')));
    let percent = columns.first()?.parse().ok()?;
    (columns.len() == 12 && are_times && (0.0..=100.0).contains(&percent)).then_some(percent)
}

/// Hours, minutes and seconds behind a word.
fn time(text: &str, word: &str) -> Option<f64> {
    let (_, after) = text.split_once(word)?;
    let clock = after.split([' ', ',']).next()?;
    let time = clock.split(':').try_fold(0.0, |time, part| part.parse::<f64>().ok().map(|part| time * 60.0 + part))?;
    time.is_finite().then_some(time)
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, text)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_say_how_far_they_are() {
        // More digits than a float can hold.
        let (digits, half) = ("9".repeat(400), "9".repeat(200));
        let endless = [format!("{digits}/{digits}"), format!("{half}/{half}")];
        let table: [(&str, Option<(f64, f64)>); 16] = [
            (" 12%|#2        | 12/100 [00:01<00:08,  9.90it/s]", Some((12.0, 100.0))),
            (" 12%|#2        | 1.20M/10.0M [00:01<00:08, 1.1MB/s]", Some((12.0, 100.0))),
            ("    Building [====>      ] 12/345: serde, tokio(build)", Some((12.0, 345.0))),
            ("\x1b[1m\x1b[36m    Building\x1b[0m [=> ] 3/9: serde", Some((3.0, 9.0))),
            ("######                      25.5%", Some((25.5, 100.0))),
            ("(Reading database ... 45%", Some((45.0, 100.0))),
            ("Receiving objects:  50% (5/10), 1.2 MiB | 3.4 MiB/s", Some((5.0, 10.0))),
            (" 45.5/100.0 kB 1.2 MB/s", Some((45.5, 100.0))),
            (" 34 10.0M   34 3501k    0     0  1200k      0  0:00:08  0:00:02  0:00:06 1201k", Some((34.0, 100.0))),
            ("at 2026/11/28, see a/3/4", None),
            ("- spinning", None),
            ("epoch 300%", None),
            ("5/3", None),
            ("1/0", None),
            (&endless[0], None),
            (&endless[1], Some((1e200, 1e200))),
        ];
        for (text, expected) in table {
            assert_eq!(figures(text, None).map(|figures| (figures.k, figures.total)), expected, "{text}");
        }
    }

    #[test]
    fn the_length_of_a_film_is_its_total() {
        let length = length("  Duration: 00:01:00.50, start: 0.000000, bitrate: 1205 kb/s");
        assert_eq!(length, Some(60.5));
        let drawing = "frame=  123 fps= 25 q=28.0 size=     256kB time=00:00:05.12 bitrate= 409.6kbits/s speed=1.0x";
        assert_eq!(figures(drawing, length), Some(Figures { k: 5.12, total: 60.5, units: Some("s") }));
        assert_eq!(figures(drawing, None), None);
        assert_eq!(["Duration: inf, start: 0", "Duration: N/A", "Duration: nan"].map(super::length), [None; 3]);
    }
}
