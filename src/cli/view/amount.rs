//! Amounts of work as people read them.

/// From here on amounts are shown with a prefix, such as `1.23M`.
const LARGE: f64 = 100_000.0;

/// `3/10 steps`, `0.3/0.9`, `1.23M/100M bytes`, `3`.
pub(super) fn amount(k: f64, total: Option<f64>, units: Option<&str>) -> String {
    // Both in one form, as fits the larger.
    let most = total.map_or(k, |total| total.max(k)).abs();
    let total = total.map(|total| format!("/{}", number(total, most))).unwrap_or_default();
    let units = units.map(|units| format!(" {units}")).unwrap_or_default();
    format!("{}{total}{units}", number(k, most))
}

/// `2.5 steps/s`, or `4 s/step` if one takes longer than a second.
pub(super) fn rate(each_second: f64, units: Option<&str>) -> String {
    if each_second >= 1.0 {
        let units = units.map(|units| format!(" {units}")).unwrap_or_default();
        return format!("{}{units}/s", rounded(each_second));
    }
    let unit = units.map_or("it", |units| units.strip_suffix('s').filter(|unit| !unit.is_empty()).unwrap_or(units));
    format!("{} s/{unit}", rounded(each_second.recip()))
}

/// A number, as fine as three digits of the largest beside it.
fn number(value: f64, most: f64) -> String {
    if most >= LARGE {
        return rounded(value);
    }
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    trimmed(format!("{value:.*}", decimals(most)))
}

/// A number in three digits, with a prefix if it is large.
fn rounded(value: f64) -> String {
    for (power, prefix) in [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        // What would be rounded up to the next prefix has it.
        if value.abs() >= power * 0.9995 && value.abs() < power * 1e6 && (power > 1e3 || value.abs() >= 10_000.0) {
            let value = value / power;
            return trimmed(format!("{value:.*}", decimals(value.abs()))) + prefix;
        }
    }
    trimmed(format!("{value:.*}", decimals(value.abs())))
}

/// How many digits behind the point make three in all.
fn decimals(value: f64) -> usize {
    match value {
        0.0 => 0,
        ..0.001 => 6,
        ..0.01 => 5,
        ..0.1 => 4,
        ..0.9995 => 3,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    }
}

/// Without zeros at the end that mean nothing.
fn trimmed(number: String) -> String {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.').to_owned() } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded() {
        let cases = [
            (3.0, Some(10.0), Some("steps"), "3/10 steps"),
            (0.1 + 0.2, Some(0.9), None, "0.3/0.9"),
            (1_234_567.0, Some(99_999_999.0), Some("bytes"), "1.23M/100M bytes"),
            (0.0, Some(99_999_999.0), None, "0/100M"),
            (12_345.0, None, None, "12345"),
            (2.5, Some(1e3), None, "2/1000"),
            (999_999.0, Some(1e6), None, "1M/1M"),
            (-1.0, None, None, "-1"),
        ];
        for (k, total, units, expected) in cases {
            assert_eq!(amount(k, total, units), expected);
        }
    }

    #[test]
    fn a_rate_is_turned_over_when_it_is_small() {
        let cases = [(2.5, Some("steps"), "2.5 steps/s"), (0.25, Some("steps"), "4 s/step"), (0.1, None, "10 s/it")];
        for (each_second, units, expected) in cases {
            assert_eq!(rate(each_second, units), expected);
        }
        assert_eq!(rate(2_500_000.0, Some("bytes")), "2.5M bytes/s");
    }
}
