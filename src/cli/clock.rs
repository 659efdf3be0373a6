//! Times as messages carry them, and as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time in ISO 8601, as a job wrote it; none if it is not one.
pub(super) fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// `2026-11-28 13:55:19`, in the time zone of this machine: when something was heard.
pub(super) fn stamp(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `13:55:19`, in the time zone of this machine: when something was today.
pub(super) fn clock_time(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// Whole seconds from one time to the other; none if the second is earlier, as the clocks of two machines may have it.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

/// `under 1 s`, `4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 3 h`.
pub(super) fn words(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (large, rest) = match seconds {
        0 => return "under 1 s".to_owned(),
        1..60 => return format!("{seconds} s"),
        60..3600 => (format!("{minutes} min"), (seconds % 60, "s")),
        3600..86_400 => (format!("{hours} h"), (minutes % 60, "min")),
        _ => (format!("{days} d"), (hours % 24, "h")),
    };
    match rest {
        (0, _) => large,
        (rest, unit) => format!("{large} {rest} {unit}"),
    }
}

/// `4 s`, `2 min`, `3 h`, `2 d`: how long ago something was, for which nobody wants the seconds.
pub(super) fn words_of_age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `00:12`, `1:02:03`: a time that runs.
pub(super) fn running(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes:02}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        let (from, to) = (time(Some("2026-11-28T12:55:19+00:00")).unwrap(), time(Some("2026-11-28T13:55:24Z")).unwrap());
        assert_eq!((seconds(from, to), seconds(to, from)), (3605, 0));
        assert_eq!(time(Some("yesterday")), None);
        let cases = [(0, "under 1 s"), (59, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (12_000, "3 h 20 min"), (183_600, "2 d 3 h")];
        for (seconds, expected) in cases {
            assert_eq!(words(seconds), expected);
        }
        assert_eq!([59, 125, 12_000, 183_600].map(words_of_age), ["59 s", "2 min", "3 h", "2 d"]);
        assert_eq!([12, 3723].map(running), ["00:12", "1:02:03"]);
    }
}
