//! Lines and what they mean, one a row.

use super::super::action::{Action, ReceiptId};
use super::super::codec::{Codec, DecodeLimits, UnitEnd};
use super::super::error::ErrorCode;
use super::super::tests::action_words;
use super::JsonLines;

const LIMITS: DecodeLimits = DecodeLimits { line: 1 << 20, name: 12 };

/// An action in words.
fn words(action: Action<'_>) -> String {
    action_words(action, |content| String::from_utf8(content.to_vec()).unwrap())
}

#[test]
fn lines_become_actions() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let table = [
        (r#"{"action":"put","stream":"s","message":{"a":[1.10,1e400]}}"#, r#"put s {"a":[1.10,1e400]} as it stands"#),
        (r#"{"action": "put", "stream": "s", "message": [1, 2]}"#, "put s [1, 2]"),
        (r#"{"action":"put","stream":"s","message":null}"#, "put s null as it stands"),
        (r#"{"action":"put","stream":"s","message": 1}"#, "put s 1"),
        (r#"{"action":"put","stream":"s","message":1 }"#, "put s 1"),
        (r#"{"action":"put","stream":"s","message":1,"x":2}"#, "put s 1"),
        (r#" {"action":"put","stream":"s","message":1}"#, "put s 1"),
        (r#"{"stream":"s","action":"put","message":1}"#, "put s 1"),
        (r#"{"action":"put","stream":"\u0073","message":1}"#, "put s 1"),
        (r#"{"\u0061ction":"p\u0075t","stream":"s","message":"\ud800"}"#, r#"put s "\ud800""#),
        (r#"{"action":"put","stream":"s","message":1,"header":null}"#, "put s 1 header null"),
        (r#"{"action":"put","stream":"s","message":1,"receipt":"\u0041"}"#, r#"put s 1 receipt "\u0041""#),
        (r#"{"action":"put","stream":"s","message":1,"receipt":null}"#, "put s 1"),
        (
            r#"{"action":"header","stream":"s","message":18446744073709551617,"receipt":-1.50}"#,
            "header s 18446744073709551617 receipt -1.50",
        ),
        (r#"{"action":"header","stream":"s","message":1,"header":2}"#, "header s 1"),
        (r#"{"action":"listen","stream":"$sys","message":1}"#, "listen $sys"),
        (r#"{"action":"hangup","stream":"$sys"}"#, "hangup $sys"),
        (r#"{"action":"hangup","stream":null,"receipt":1}"#, "hangup all receipt 1"),
        (r#"{"action":"hangup"}"#, "hangup all"),
        (r#"{"action":"close","stream":"s"}"#, "close s -"),
        (r#"{"action":"close","stream":"s","message":null}"#, "close s null"),
        (r#"{"action":"close","message":1,"receipt":1}"#, "close connection receipt 1"),
        (r#"{"action":"delete","stream":"s","message":"m"}"#, r#"delete s "m""#),
        (r#"{"action":"ping","stream":null,"receipt":2}"#, "ping receipt 2"),
        (r#"{"action":"listen","stream":"123456789012"}"#, "listen 123456789012"),
    ];
    let mut codec = JsonLines::default();
    // The second round meets the names that the first has left in the cache.
    for (line, expected) in table.iter().chain(&table) {
        let line = format!("{line}\n");
        assert_eq!(words(codec.decode(line.as_bytes(), &LIMITS).unwrap().unwrap()), *expected, "{line}");
    }
    let line = format!("{{\"action\":\"put\",\"stream\":\"s\",\"message\":{deep}}}\n");
    assert_eq!(words(codec.decode(line.as_bytes(), &LIMITS).unwrap().unwrap()), format!("put s {deep} as it stands"));
}

#[test]
fn ends_of_lines() {
    let mut codec = JsonLines::default();
    for line in ["", "\n", "\r\n", " \t \n"] {
        assert_eq!(codec.decode(line.as_bytes(), &LIMITS), Ok(None), "{line:?}");
    }
    let put = r#"{"action":"put","stream":"s","message":1}"#;
    for (end, expected) in
        [("\n", "put s 1 as it stands"), ("\r\n", "put s 1"), ("", "put s 1"), (" \n", "put s 1"), ("\n", "put s 1 as it stands")]
    {
        let line = format!("{put}{end}");
        assert_eq!(words(codec.decode(line.as_bytes(), &LIMITS).unwrap().unwrap()), expected, "{line:?}");
    }
    assert_eq!(codec.unit(b"ab\ncd\n", 0), UnitEnd::Complete(3));
    assert_eq!(codec.unit(b"ab\ncd\n", 3), UnitEnd::Complete(6));
    assert_eq!(codec.unit(b"abcd", 2), UnitEnd::Partial);
    assert_eq!(codec.unit(b"", 0), UnitEnd::Partial);
}

/// A line, the code, and a phrase that the reason must hold.
type Wrong<'a> = (&'a [u8], ErrorCode, &'a str);

#[test]
fn broken_json_is_explained() {
    let code = ErrorCode::BadJson;
    let table: [Wrong<'_>; 40] = [
        (b"{\"action\":\"put\",\"stream\":\"s\",\"message\":NaN}", code, "column 40: NaN is not JSON"),
        (b"{\"m\":[1,-Infinity]}", code, "-Infinity is not JSON: send null or a string"),
        (b"{\"m\":Infinity}", code, "json.dumps(..., allow_nan=False)"),
        (b"{'action':'put'}", code, "column 2: a single quote"),
        (b"{\"m\":True}", code, "True is Python, not JSON: write true"),
        (b"{\"m\":None}", code, "write null"),
        (b"{\"m\":undefined}", code, "JSON.stringify"),
        (b"{\"m\":[1,]}", code, "']' after a comma: JSON allows no trailing comma"),
        (b"{\"m\":1,}", code, "'}' after a comma"),
        (b"{action:1}", code, "the key action needs double quotes"),
        (b"{\"m\":hello}", code, "\"hello\" is no JSON value"),
        (b"{\"m\":01}", code, "column 7: a number with a leading zero"),
        (b"{\"m\":1.}", code, "'}' where a digit of a number should be"),
        (b"{\"m\":+1}", code, "'+' cannot begin a number"),
        (b"{\"m\":.5}", code, "'.' cannot begin a number"),
        (b"{\"m\":1 // one\n", code, "JSON has no comments"),
        (b"{\"m\" 1}", code, "'1' where a colon should be"),
        (b"{\"m\":1 \"n\":2}", code, "'\"' where a comma or } should be"),
        (b"{\"m\":[1 2]}", code, "'2' where a comma or ] should be"),
        (b"{\n", code, "a whole object must stand on one line"),
        (b"{\"m\":\n", code, "the line ends where a value should follow"),
        (b"{\"m\":\"abc\n", code, "the line ends inside a string"),
        (b"{\"m\":\"a\tb\"}", code, "a tab stands raw in a string"),
        (b"{\"m\":\"a\0b\"}", code, "a NUL byte stands raw"),
        (b"{\"m\":\0}", code, "a NUL byte where a value should be"),
        (b"{\"m\":\"\\x41\"}", code, "a backslash is followed by 'x'"),
        (b"{\"m\":\"\\u00g0\"}", code, "four hex digits"),
        (b"{} {}", code, "'{' after the object: send one object per line"),
        (b"[1]", code, "a line must be one JSON object"),
        (b"hello", code, "begins with 'h'"),
        (b"\xef\xbb\xbf{}", code, "byte order mark"),
        (b"{\0\"\0", code, "UTF-16"),
        (b"{\"\xe9\":1}", code, "column 3: the byte 0xe9 is not UTF-8"),
        (b"{\"m\":\"\xc3\xa9 long enough for a second word \xe9\"}", code, "column 39: the byte 0xe9 is not UTF-8"),
        (b"{\"m\":\"\xed\xa0\x80\"}", code, "is not UTF-8"),
        (b"{\"m\":\xe2\x80\x9cm\xe2\x80\x9d}", code, "U+201C"),
        (b"{\"m\":1,\"m\":2}", code, "column 8: the key \"m\" is given twice"),
        (b"{\"\\u006d\":1,\"m\":2}", code, "the key \"m\" is given twice"),
        (b"{\"stream\":\"a\",\"stream\":\"a\"}", code, "the key \"stream\" is given twice"),
        (
            b"{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0,\"j\":0,\"j\":0}",
            code,
            "the key \"j\" is given twice",
        ),
    ];
    check(&table);
}

#[test]
fn other_mistakes_are_explained() {
    use ErrorCode::{BadAction, BadStream, Denied, Limit, MissingMessage, MissingStream};
    let table: [Wrong<'_>; 25] = [
        (br#"{}"#, BadAction, "the key \"action\" is missing"),
        (
            br#"{"action":1}"#,
            BadAction,
            "must be a string, one of header, put, listen, hangup, close, delete, will, session, auth, ping, not a number",
        ),
        (br#"{"action":"pit"}"#, BadAction, "did you mean \"put\"?"),
        (br#"{"action":"Listen"}"#, BadAction, "did you mean \"listen\"?"),
        (br#"{"action":"subscribe"}"#, BadAction, "did you mean \"listen\"?"),
        (br#"{"action":"zzzzzzzz"}"#, BadAction, "\"zzzzzzzz\": known are header, put"),
        (br#"{"action":"\ud800"}"#, BadAction, "there is no action"),
        (br#"{"action":"ping","receipt":[]}"#, BadAction, "\"receipt\" must be a string or a number (or null for none), not an array"),
        (br#"{"action":"ping","receipt":true}"#, BadAction, "not true"),
        (br#"{"action":"put","message":1}"#, MissingStream, "\"put\" needs a stream"),
        (br#"{"action":"listen"}"#, MissingStream, "\"listen\" needs a stream"),
        (br#"{"action":"delete"}"#, MissingStream, "\"delete\" needs a stream"),
        (br#"{"action":"close","stream":null}"#, BadStream, "not null"),
        (br#"{"action":"put","stream":7}"#, BadStream, "not a number"),
        (br#"{"action":"put","stream":""}"#, BadStream, "at least one character"),
        (br#"{"action":"listen","stream":"\ud800"}"#, BadStream, "half a surrogate pair"),
        (br#"{"action":"listen","stream":"1234567890123"}"#, BadStream, "longer than 12 bytes of UTF-8 (the broker's setting limits.name)"),
        (br#"{"action":"listen","stream":"\u0031234567890123"}"#, BadStream, "limits.name"),
        (br#"{"action":"put","stream":"s"}"#, MissingMessage, "\"put\" needs a message"),
        (br#"{"action":"header","stream":"s"}"#, MissingMessage, "\"header\" needs a message"),
        (br#"{"action":"put","stream":"$sys"}"#, Denied, "names that begin with $"),
        (br#"{"action":"header","stream":"$sys","message":1}"#, Denied, "\"header\" on \"$sys\""),
        (br#"{"action":"close","stream":"$sys"}"#, Denied, "$sys"),
        (br#"{"action":"delete","stream":"\u0024sys"}"#, Denied, "$sys"),
        (br#"{"action":"pit","stream":"","receipt":{}}"#, BadAction, "did you mean"),
    ];
    check(&table);
    let long = format!(r#"{{"action":"ping","receipt":"{}"}}"#, "r".repeat(255));
    check(&[(long.as_bytes(), Limit, "257 bytes: the most is 256")]);
}

// Seen to fail: of a stream whose name is as long as it may be, the directory could not be asked.
#[test]
fn the_directory_can_be_asked_about_the_longest_name() {
    let most = "n".repeat(12);
    for line in [
        format!(r#"{{"action":"listen","stream":"$streams/{most}"}}"#),
        format!(r#"{{"action":"listen","prefix":"$streams/{most}"}}"#),
        format!(
            r#"{{"action":"listen","stream":"{}"}}"#,
            format!("$streams/{most}").bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>()
        ),
    ] {
        let decoded = JsonLines::default().decode(line.as_bytes(), &LIMITS).map(|_| ());
        assert!(decoded.is_ok(), "{line}: {decoded:?}");
    }
    check(&[
        (br#"{"action":"listen","stream":"$streams/1234567890123"}"#, ErrorCode::BadStream, "limits.name"),
        (br#"{"action":"listen","prefix":"$streams/1234567890123"}"#, ErrorCode::BadStream, "limits.name"),
    ]);
}

fn check(table: &[Wrong<'_>]) {
    let mut codec = JsonLines::default();
    for (line, code, phrase) in table {
        let shown = String::from_utf8_lossy(line);
        let mistake = codec.decode(line, &LIMITS).unwrap_err();
        assert_eq!(mistake.code, *code, "{shown}: {}", mistake.reason);
        assert!(mistake.reason.contains(phrase), "{shown}: {:?} lacks {phrase:?}", mistake.reason);
    }
}

#[test]
fn a_mistake_carries_what_could_be_read() {
    let table = [
        (r#"{"action":"pit","stream":"s","receipt":"r"}"#, Some("s"), Some("\"r\"")),
        (r#"{"action":"put","stream":"s","receipt":7}"#, Some("s"), Some("7")),
        (r#"{"action":"ping","stream":"s","receipt":{}}"#, Some("s"), None),
        (r#"{"action":"put","stream":"","receipt":7}"#, None, Some("7")),
        (r#"{"stream":"s","receipt":7,"message":NaN}"#, Some("s"), Some("7")),
        (r#"{"stream":"s","receipt":7,"stream":"t"}"#, None, Some("7")),
    ];
    for (line, stream, receipt) in table {
        let mistake = JsonLines::default().decode(line.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!(mistake.stream.as_deref(), stream, "{line}");
        assert_eq!(mistake.receipt, receipt.map(ReceiptId::new), "{line}");
    }
}

#[test]
fn reasons_do_not_repeat_without_bound() {
    let long = "é".repeat(10_000);
    for line in [
        format!(r#"{{"action":"{long}"}}"#),
        format!(r#"{{"action":"put","stream":"{long}"}}"#),
        format!(r#"{{"{long}":1,"{long}":1}}"#),
        format!(r#"{{"m":{}}}"#, "a".repeat(10_000)),
        format!(r#"{{{}:1}}"#, "a".repeat(10_000)),
    ] {
        let mistake = JsonLines::default().decode(line.as_bytes(), &LIMITS).unwrap_err();
        assert!(mistake.reason.len() < 400 && mistake.reason.contains('…'), "{}", mistake.reason);
        assert_eq!(mistake.stream, None);
    }
}

#[test]
fn the_state_of_a_decoder_is_one_pointer_and_a_listener_leaves_it_empty() {
    assert_eq!(size_of::<JsonLines>(), size_of::<usize>());
    let mut codec = JsonLines::default();
    assert!(codec.decode(b"{\"action\":\"listen\",\"stream\":\"s\"}\n", &LIMITS).is_ok());
    assert!(codec.latest.name(false).is_none());
    assert!(codec.decode(b"{\"action\":\"put\",\"stream\":\"s\",\"message\":1}\n", &LIMITS).is_ok());
    assert!(codec.latest.name(false).is_some());
}

#[test]
fn every_put_names_its_own_stream_whatever_was_put_to_before() {
    // Short and long ones, some not ASCII, some the beginning of others; below, in both forms and with an escape.
    let names = ["s", "s1", "s12", "é", "éé", "a name of more than twenty-three bytes", "a name of more than twenty-four bytes!", "$"];
    let (limits, mut codec) = (DecodeLimits { name: 100, ..LIMITS }, JsonLines::default());
    for before in names {
        for name in names {
            for line in [
                format!("{{\"action\":\"put\",\"stream\":\"{name}\",\"message\":1}}\n"),
                format!("{{\"action\": \"put\", \"stream\": \"{name}\", \"message\": 1}}\n"),
                format!("{{\"action\":\"put\",\"stream\":\"{name}\\u0021\",\"message\":1}}\n"),
            ] {
                // It may fail: "$" is refused.
                let _ = codec.decode(format!("{{\"action\":\"put\",\"stream\":\"{before}\",\"message\":1}}\n").as_bytes(), &limits);
                let unescaped = line.replace("\\u0021", "!");
                let expected: serde_json::Value = serde_json::from_str(&unescaped).unwrap();
                match codec.decode(line.as_bytes(), &limits) {
                    Ok(Some(Action::Put { stream, message, .. })) => {
                        assert_eq!(stream.as_name().as_str(), expected["stream"], "{line}");
                        assert_eq!(message.verbatim, !line.contains(": ") && !line.contains('\\'), "{line}");
                    }
                    other => assert!(name == "$" && other.is_err(), "{line}{other:?}"),
                }
            }
        }
    }
}

#[test]
fn the_latest_name_is_held_to_a_lowered_limit() {
    let mut codec = JsonLines::default();
    let line = b"{\"action\":\"put\",\"stream\":\"name\",\"message\":1}\n";
    assert!(codec.decode(line, &LIMITS).is_ok());
    let mistake = codec.decode(line, &DecodeLimits { name: 3, ..LIMITS }).unwrap_err();
    assert_eq!(mistake.code, ErrorCode::BadStream);
}

#[test]
fn a_line_has_room_for_a_thousand_unknown_keys() {
    let line = |keys: usize| {
        let others: String = (0..keys).map(|key| format!("\"k{key}\":0,")).collect();
        format!("{{{others}\"action\":\"ping\"}}\n")
    };
    let limits = DecodeLimits { line: 1 << 20, name: 100 };
    let mut codec = JsonLines::default();
    assert_eq!(codec.decode(line(1000).as_bytes(), &limits), Ok(Some(Action::Ping { receipt: None })));
    let mistake = codec.decode(line(1001).as_bytes(), &limits).unwrap_err();
    assert_eq!(mistake.code, ErrorCode::BadJson);
    assert!(mistake.reason.contains("more than 1000 keys"), "{}", mistake.reason);
}
