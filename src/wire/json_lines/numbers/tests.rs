//! Runs of numbers, compared with `serde_json`, with every short mistake and every carry at the borders of blocks.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use proptest::sample::select;
use serde_json::value::RawValue;

use super::super::scan::value;
use super::skip_numbers;

/// What makes an array of each kind, in less than half a block.
const KINDS: [&str; 6] = ["", "1 ,", "1e+1,", "1],[", "1] , [", "1E1 ],["];

fn valid(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Checks that `piece` is accepted or not, between two commas of an array in an array, where it begins at `offset`. What comes
/// before it is of one kind, what follows of another.
fn check([kind, then]: [&str; 2], offset: usize, piece: &str, valid: bool) {
    let long = "1".repeat(offset - kind.len() - 1);
    let (head, tail) = (format!("[[{kind}{long},"), "1".repeat(70));
    let text = format!("{head}{piece},{then}{tail}]]");
    let reached = skip_numbers(text.as_bytes(), 2, true);
    let whole = text.trim_end_matches(['1', ']']).trim_end().len();
    if valid {
        // Brackets within the piece may stop the run.
        assert!((whole..=text.len() - 72).contains(&reached) || (piece.contains(['[', ']']) && reached < whole), "{text}: {reached}");
    } else {
        assert!(reached <= head.len() + piece.len(), "{text}: {reached}");
    }
    assert_eq!(value(text.as_bytes(), 0) == Ok(text.len()), valid, "{text}");
}

/// Every text of a length over an alphabet.
fn texts(alphabet: &[u8], length: usize) -> impl Iterator<Item = String> {
    (0..alphabet.len().pow(length as u32)).map(move |number| {
        let letter = |place: usize| char::from(alphabet[number / alphabet.len().pow(place as u32) % alphabet.len()]);
        (0..length).map(letter).collect()
    })
}

#[test]
fn short_texts_are_judged_as_serde_json_does() {
    for (alphabet, most) in [(&b"01.e-+, "[..], 6), (b"01.E-,] [", 5)] {
        let all = (0..=most).flat_map(|length| texts(alphabet, length));
        for (index, piece) in all.enumerate() {
            let valid = valid(&format!("[[1,{piece},1]]"));
            if piece.len() <= 3 {
                for (kind, then) in KINDS.into_iter().flat_map(|kind| KINDS.map(|then| (kind, then))) {
                    for offset in 128 - piece.len()..=128 {
                        check([kind, then], offset, &piece, valid);
                    }
                }
            } else {
                // The border comes after each of the bytes in turn.
                let (rest, kind) = (index / KINDS.len(), KINDS[index % KINDS.len()]);
                let (rest, place) = (rest / (piece.len() + 1), rest % (piece.len() + 1));
                check([kind, KINDS[rest % KINDS.len()]], 128 - place, &piece, valid);
            }
        }
    }
}

#[test]
fn valid_brackets_between_numbers_are_no_end() {
    for closing in ["]", " ]", "]  "] {
        for opening in [",[", ", [", ",[ ", " ,  [  "] {
            let text = format!("[[{}1]]", format!("1.5,-2{closing}{opening}").repeat(40));
            let reached = skip_numbers(text.as_bytes(), 2, true);
            assert_eq!(text[reached..].trim_start(), "1]]", "{text}");
            // In an array that stands in no other, the first bracket is the end.
            assert_eq!(skip_numbers(text.as_bytes(), 2, false), 6, "{text}");
        }
    }
}

#[test]
fn an_array_in_no_other_ends_at_its_bracket() {
    for kind in ["", "1 ,", "1e+1,", "1 , 1e+1,"] {
        for length in 64..200 {
            let ones = "1".repeat(length);
            let text = format!("{{\"a\":[{kind}{ones},1],[1,{ones},{ones}]}}");
            let end = text.find(']').unwrap();
            assert_eq!(skip_numbers(text.as_bytes(), 6, false), end - 1, "{text}");
            assert!(!valid(&text) && value(text.as_bytes(), 0).is_err(), "{text}");
        }
    }
}

#[test]
fn runs_of_any_length_carry_over_blocks() {
    for run in (0..200).chain([640, 641]) {
        let (ones, zeros, spaces) = ("1".repeat(run), "0".repeat(run), " ".repeat(run));
        let pieces = [
            format!("1{ones}"),
            format!("1{ones}.{ones}1"),
            format!("0.{zeros}0"),
            format!("-1e-{zeros}1"),
            format!("1.5E+{zeros}1"),
            format!("{spaces}1{spaces}"),
            format!("{spaces}-0{spaces}"),
            format!("1{spaces}]{spaces},{spaces}[{spaces}1"),
            // One mistake each, after the run.
            format!("0{ones}1"),
            format!("1.{ones}.1"),
            format!("1e{zeros}1.1"),
            format!("1e{zeros}1e1"),
            format!("1{spaces} 1"),
            format!("1{spaces}]{spaces}[{spaces}1"),
            format!("1{spaces}]{spaces},{spaces}1"),
            format!("1{spaces}],{spaces},[1"),
            format!("1,{spaces}[{spaces}1"),
            format!("1{ones}+1"),
            format!("1.{spaces} 1"),
            format!("-{spaces} 1"),
            format!("1e{spaces} 1"),
        ];
        for piece in pieces {
            let valid = valid(&format!("[[1,{piece},1]]"));
            for (offset, then) in [(64, ""), (65, "1 ,"), (100, "1],[")] {
                check(["", then], offset, &piece, valid);
            }
        }
    }
}

/// What may stand in an array of numbers, most of it well formed.
fn pieces() -> impl Strategy<Value = Vec<String>> {
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,20})",
        "-?(0|[1-9][0-9]{0,3})\\.[0-9]{1,18}",
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,5})?[eE][+-]?[0-9]{1,4}",
    ];
    let comma = select(vec![",", ", ", " , ", ",\t", "\r,", "],[", "], [", "] ,[ "]).prop_map(str::to_owned);
    let wrong = select(vec!["", "0", "-", "+", ".", "e", "1", " ", ",", "[", "]", "1 1", "null", "\"a\"", "{}", "\u{e9}", "\0"]);
    let rarely_wrong = prop_oneof![200 => Just(String::new()), 1 => wrong.prop_map(str::to_owned)];
    vec((number, rarely_wrong.clone(), comma, rarely_wrong).prop_map(|(number, a, comma, b)| format!("{number}{a}{comma}{b}")), 1..80)
}

proptest! {
    #[test]
    fn arrays_are_judged_as_serde_json_does(pieces in pieces(), spaced in 0..3, deep in 1..3_usize) {
        let mut body = pieces.concat();
        match spaced {
            0 => body = body.replace([' ', '\t', '\r'], ""),
            1 => body = body.replace(['[', ']'], ""),
            _ => {}
        }
        let text = format!("{}1,{body}1{}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(value(text.as_bytes(), 0) == Ok(text.len()), valid(&text), "{text}");
    }
}
