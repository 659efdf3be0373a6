//! Amounts of work as people read them.

/// From here on amounts are shown with a prefix, such as `1.23M`.
const LARGE: f64 = 100_000.0;

/// Below it they are shown as `1.5e-7`, and so they are where no prefix is left.
const SMALL: f64 = 0.0001;

/// What counts up to 100 and is a share already.
const PERCENT: &str = "%";

/// Whether an amount says no more than its share of the total.
pub(super) fn is_percentage(total: Option<f64>, units: Option<&str>) -> bool {
    (total, units) == (Some(100.0), Some(PERCENT))
}

/// `3/10 steps`, `0.3/0.9`, `1.23M/100M bytes`, `3`, `42%`.
pub(in crate::cli) fn amount(k: f64, total: Option<f64>, units: Option<&str>) -> String {
    if is_percentage(total, units) {
        return format!("{}{PERCENT}", number(k, k.abs()));
    }
    // Both in one form, as fits the larger.
    let most = total.map_or(k, |total| total.max(k)).abs();
    let total = total.map(|total| format!("/{}", number(total, most))).unwrap_or_default();
    let units = units.map(|units| format!(" {units}")).unwrap_or_default();
    format!("{}{total}{units}", number(k, most))
}

/// `2.5 steps/s`, or `4 s/step` if one takes longer than a second.
pub(in crate::cli) fn rate(each_second: f64, units: Option<&str>) -> String {
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
    if most < SMALL {
        return scientific(value);
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
    if value.abs() >= 1e21 || value != 0.0 && value.abs() < SMALL {
        return scientific(value);
    }
    trimmed(format!("{value:.*}", decimals(value.abs())))
}

/// A number in three digits and a power of ten.
fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{power}", trimmed(digits.to_owned()))
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
            (1e308, Some(-1e300), Some("steps"), "1e308/-1e300 steps"),
            (1.5e-9, Some(2e-8), None, "1.5e-9/2e-8"),
            (42.0, Some(100.0), Some("%"), "42%"),
            (25.5, Some(100.0), Some("%"), "25.5%"),
            (5.0, Some(200.0), Some("%"), "5/200 %"),
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
        assert_eq!([rate(1e300, None), rate(1e-300, None)], ["1e300/s", "1e300 s/it"]);
    }
}
