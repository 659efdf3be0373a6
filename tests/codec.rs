//! The decoder against the oracle: lines made at random, and all that the fuzzer has found worth keeping.

mod inputs;
mod oracle;

use inputs::{Change, change, changed};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

/// White space as a writer may leave it; mostly none or one space.
fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", "", " ", " ", "\t", "  ", "\r"])
}

/// Pieces of JSON and of what is nearly JSON.
fn value() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "1",
        "0",
        "-0",
        "1.10",
        "1e400",
        "-1.5E+10",
        "18446744073709551617",
        "0.12345678901234567",
        "true",
        "false",
        "null",
        r#""""#,
        r#""text""#,
        r#""é日本𝄞""#,
        r#""\u00e9\ud834\udd1e\n\"\\""#,
        r#""\ud800""#,
        r#""a long text that needs more than one word, and then some more of it""#,
        "{}",
        "[]",
        "NaN",
        "-Infinity",
        "01",
        "1.",
        "'a'",
        "tru",
        r#""\x""#,
        "\"a\tb\"",
        "[1,]",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..4), space()).prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!("{space},")))),
            (vec(inner, 0..4), space(), space()).prop_map(|(items, a, b)| {
                let members: Vec<_> = items.iter().enumerate().map(|(i, item)| format!("\"k{i}\"{a}:{b}{item}")).collect();
                format!("{{{a}{}{b}}}", members.join(","))
            }),
        ]
    })
}

fn member() -> impl Strategy<Value = (String, String)> {
    let names = [
        r#""s""#,
        r#""job-1""#,
        r#""j\u006fb-1""#,
        r#""$sys""#,
        r#""""#,
        "null",
        "7",
        r#""é""#,
        r#""\ud800""#,
        r#""\ud834\udd1e""#,
        r#""q\"\\""#,
        r#""123456789012345678901234""#,
        r#""1234567890123456789012345""#,
        r#""\u0031234567890123456789012345""#,
    ];
    let actions =
        ["put", "put", "put", "header", "listen", "hangup", "close", "delete", "ping", "auth", "p\\u0075t", "pit", "Put", "", "\\ud800"];
    let long = format!("\"{}\"", "r".repeat(255));
    let receipts = ["1", r#""r""#, "null", "-1.5e3", "true", "[]", r#""\u0041\ud800""#, long.as_str(), &long[1..]].map(str::to_owned);
    let terms = [
        ("after", r#"{"epoch":"00000000000000ab","sequence":7}"#),
        ("after", r#"{ "sequence" : 7 , "epoch" : "\u0030é", "x": [1] }"#),
        ("after", r#"{"epoch":"a","sequence":-1}"#),
        ("after", r#"{"epoch":"a"}"#),
        ("after", r#"{"epoch":"a","epoch":"b","sequence":1}"#),
        ("after", "[]"),
        ("after", "null"),
        ("prefix", r#""s""#),
        ("prefix", r#""""#),
        ("prefix", "null"),
        ("prefix", r#""\u0031234567890123456789012345""#),
        ("prefix", r#""\ud800""#),
        ("prefix", "7"),
        ("after", r#"{"s":{"epoch":"a","sequence":1},"a":{"epoch":"00000000000000ab","sequence":2},"s":{"epoch":"b","sequence":3}}"#),
        ("after", r#"{"":{"epoch":"a","sequence":1}}"#),
        ("after", "{}"),
        ("last", "5"),
        ("token", r#""mst_a""#),
        ("token", r#""\u006dst_a""#),
        ("token", r#""two words""#),
        ("token", r#""\ud800""#),
        ("token", "7"),
        ("mode", "\"latest\""),
        ("mode", "\"la\\u0074est\""),
        ("mode", "\"newest\""),
        ("mode", "true"),
        ("mode", "null"),
        ("last", "1.0"),
        ("last", "-0"),
        ("last", "18446744073709551616"),
        ("last", "null"),
        ("of", r#""00000000000000ab""#),
        ("of", r#""\ud800""#),
        ("of", "7"),
        ("of", "null"),
        ("if", r#""absent""#),
        ("if", r#""abs\u0065nt""#),
        ("if", r#""present""#),
        ("if", "true"),
        ("if", "null"),
    ];
    prop_oneof![
        4 => select(actions.map(|action| format!("\"{action}\"")).to_vec()).prop_map(|action| ("action".into(), action)),
        1 => select(vec!["1", "null", "[]"]).prop_map(|action| ("action".into(), action.into())),
        4 => select(names.to_vec()).prop_map(|name| ("stream".into(), name.into())),
        4 => value().prop_map(|message| ("message".into(), message)),
        1 => value().prop_map(|header| ("header".into(), header)),
        2 => select(receipts.to_vec()).prop_map(|receipt| ("receipt".into(), receipt)),
        2 => select(terms.to_vec()).prop_map(|(key, value)| (key.into(), value.into())),
        1 => (select(vec!["x", "y", "\\u0078", "é", "\\ud800", "\\ud801", "", "Action", "messag\\u0065"]), value())
            .prop_map(|(key, value)| (key.into(), value)),
    ]
}

/// A line of the usual kind, in one of the two usual spellings.
fn usual() -> impl Strategy<Value = String> {
    let names = ["s", "job-1", "é", "a name as long as it can"];
    (select(names.to_vec()), value(), any::<bool>(), select(vec!["", "", "", ",\"x\":1", ",\"receipt\":1", ", \"header\": {}", " ", "}"]))
        .prop_map(|(name, message, python, more)| {
            let line = if python {
                format!(r#"{{"action": "put", "stream": "{name}", "message": {message}"#)
            } else {
                format!(r#"{{"action":"put","stream":"{name}","message":{message}"#)
            };
            line + more + "}"
        })
}

/// A line with any members in any order, spaced at random.
fn unusual() -> impl Strategy<Value = String> {
    (vec((member(), space(), space()), 0..7), space(), space()).prop_map(|(members, before, after)| {
        let members: Vec<_> = members.iter().map(|((key, value), a, b)| format!("{b}\"{key}\"{a}:{b}{value}{a}")).collect();
        format!("{before}{{{}{after}}}{after}", members.join(","))
    })
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![usual(), unusual()], select(vec!["\n", "\n", "\r\n", " \n", "\n\n"])).prop_map(|(line, end)| (line + end).into_bytes())
}

/// A change to a byte that matters in JSON.
fn change_of_line() -> impl Strategy<Value = Change> {
    change(select(b"\"\\{}[]:,0123456789.eE+-truefalsn \t\r\n\0'/\x1f\x7f\x80\xc3\xa9\xff".to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_mean_what_the_oracle_says(lines in vec(line(), 1..5)) {
        oracle::compare(&lines.concat());
    }

    #[test]
    fn changed_lines_mean_what_the_oracle_says(lines in vec(line(), 1..4), changes in vec(change_of_line(), 1..4)) {
        oracle::compare(&changed(lines.concat(), &changes));
    }

    #[test]
    fn a_put_of_any_value_is_valid_when_serde_json_says_so(message in value(), changes in vec(change_of_line(), 0..3)) {
        let message = changed(message.into_bytes(), &changes);
        oracle::compare(&[br#"{"action":"put","stream":"s","message":0}"#, &b"\n{\"action\":\"put\",\"stream\":\"s\",\"message\":"[..], &message, b"}\n"].concat());
    }
}

#[test]
fn what_the_fuzzer_found_stays_right() {
    inputs::for_each_of_corpus("decode", oracle::compare);
}

#[test]
fn a_name_with_an_escape_is_written_anew() {
    oracle::compare(b"{\"action\":\"put\",\"stream\":\"a name as l\\ng as it can\",\"message\":[[],\"\\ud800\",\"text\"]}\n");
}
