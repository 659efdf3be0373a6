//! Content in both encodings, one a row.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::super::from_json::DEEPEST;
use super::super::{form, from_json, skip, to_json, write};

/// JSON text as MessagePack.
fn packed(text: &str) -> Vec<u8> {
    let mut out = b"before".to_vec();
    from_json::write(text.as_bytes(), &mut out);
    out.strip_prefix(b"before").unwrap().to_vec()
}

/// MessagePack as JSON text.
fn unpacked(value: &[u8]) -> String {
    assert_eq!(skip::value(value, 0), Ok(value.len()), "{value:x?}");
    let mut out = b"before".to_vec();
    to_json::write(value, &mut out);
    String::from_utf8(out.strip_prefix(b"before").unwrap().to_vec()).unwrap()
}

fn as_text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, form::JSON, text.as_bytes());
    out
}

#[test]
fn json_that_message_pack_holds() {
    // The text, and the text that it comes back as, where that differs.
    let long = format!("\"{}\"", "é".repeat(40_000));
    let table = [
        ("null", "null"),
        ("[true,false]", "[true,false]"),
        ("0", "0"),
        ("127", "127"),
        ("128", "128"),
        ("-32", "-32"),
        ("-33", "-33"),
        ("-128", "-128"),
        ("-129", "-129"),
        ("-32769", "-32769"),
        ("65536", "65536"),
        ("-2147483649", "-2147483649"),
        ("4294967296", "4294967296"),
        ("9223372036854775808", "9223372036854775808"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.10", "1.1"),
        ("1E2", "100.0"),
        ("-0.0", "-0.0"),
        ("-0", "-0.0"),
        ("0e999", "0.0"),
        ("3.14159265358979323846264338327950288", "3.141592653589793"),
        (r#""\u0041\/\"\\\b\f\n\r\t\ud83d\ude00""#, r#""A/\"\\\b\f\n\r\t😀""#),
        (&long, &long),
        (r#"{ "a" : [ 1 ,	2 ] , "b":{ } , "c" : [ ] }"#, r#"{"a":[1,2],"b":{},"c":[]}"#),
        (r#"{"z":1,"a":2,"z":3,"\u0061":4}"#, r#"{"z":1,"a":2,"z":3,"a":4}"#),
        (r#"{"":{"":[[],[[]]]}}"#, r#"{"":{"":[[],[[]]]}}"#),
    ];
    for (text, back) in table {
        let value = packed(text);
        assert_eq!(unpacked(&value), back, "{text} is {value:x?}");
        if text.len() < 100 && !text.contains("z") {
            assert_eq!(value, rmp_serde::to_vec_named(&serde_json::from_str::<Value>(text).unwrap()).unwrap(), "{text}");
        }
    }
}

#[test]
fn json_that_message_pack_has_no_value_for_is_its_own_text() {
    for text in ["18446744073709551616", "-9223372036854775809", "1e400", "-1e400", "1e-400", r#""\ud800""#, r#""a\udc00b""#] {
        assert_eq!(packed(text), as_text(text));
        assert_eq!(unpacked(&packed(text)), text);
        let inner = format!("[{text}]");
        assert_eq!(packed(&inner), [&b"\x91"[..], &as_text(text)].concat());
        assert_eq!(unpacked(&packed(&inner)), inner);
    }
    // As a whole: a key that is no text, and more levels than there may be.
    for text in [r#"{"a":[{"\ud800":1}]}"#.to_owned(), format!("{}{}", "[".repeat(DEEPEST + 1), "]".repeat(DEEPEST + 1))] {
        assert_eq!(packed(&text), as_text(&text));
        assert_eq!(unpacked(&packed(&text)), text);
    }
    let deepest = format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
    assert_eq!(packed(&deepest), [vec![0x91; DEEPEST - 1], vec![0x90]].concat());
}

#[test]
fn containers_of_any_length_have_the_shortest_head() {
    for count in [0, 1, 15, 16, 17, 255, 256, 65_535, 65_536, 70_000] {
        let items: Vec<Value> = (0..count).map(|number| json!(number)).collect();
        let members: serde_json::Map<_, _> = (0..count).map(|number| (format!("{number}"), json!([number]))).collect();
        for value in [json!(items), json!(members), json!([[items, 1], {"a": members}, "end"])] {
            let text = value.to_string();
            let packed = packed(&text);
            assert!(packed == rmp_serde::to_vec_named(&value).unwrap(), "{count}");
            assert!(unpacked(&packed) == text, "{count}");
        }
    }
    // Long ones in long ones: each byte is moved once.
    let mut nested = json!("inner");
    for _ in 0..100 {
        let mut items = vec![json!(0); 20];
        items[7] = nested;
        nested = json!(items);
    }
    assert_eq!(packed(&nested.to_string()), rmp_serde::to_vec_named(&nested).unwrap());
}

#[test]
fn message_pack_that_json_has_no_value_for() {
    let table: [(&[u8], &str); 18] = [
        (b"\xc4\x00", r#"{".class":"bytes",".version":"1.0",".state":""}"#),
        (b"\xc4\x01M", r#"{".class":"bytes",".version":"1.0",".state":"TQ=="}"#),
        (b"\xc5\x00\x02Ma", r#"{".class":"bytes",".version":"1.0",".state":"TWE="}"#),
        (b"\xc6\x00\x00\x00\x03\xfb\xff\xfe", r#"{".class":"bytes",".version":"1.0",".state":"+//+"}"#),
        (b"\xca\x7f\xc0\x00\x00", r#"{".class":"float",".version":"1.0",".state":"NaN"}"#),
        (b"\xcb\xff\xf0\0\0\0\0\0\0", r#"{".class":"float",".version":"1.0",".state":"-Infinity"}"#),
        (b"\xca\x7f\x80\0\0", r#"{".class":"float",".version":"1.0",".state":"Infinity"}"#),
        (b"\xca\x3d\xcc\xcc\xcd", "0.10000000149011612"),
        (b"\xca\x80\0\0\0", "-0.0"),
        (b"\xd6\xff\0\0\0\x01", r#"{".class":"ext",".version":"1.0",".state":{"type":-1,"data":"AAAAAQ=="}}"#),
        (b"\xc7\x00\x05", r#"{".class":"ext",".version":"1.0",".state":{"type":5,"data":""}}"#),
        (b"\xc7\x03J1 2", r#"{".class":"ext",".version":"1.0",".state":{"type":74,"data":"MSAy"}}"#),
        (b"\xd5J 1", r#"{".class":"ext",".version":"1.0",".state":{"type":74,"data":"IDE="}}"#),
        // A line end among the tokens would end the listener's line.
        (b"\xc7\x05J[1\n]\n", r#"{".class":"ext",".version":"1.0",".state":{"type":74,"data":"WzEKXQo="}}"#),
        (b"\xd6J[1\n]", "[1 ]"),
        (b"\x82\x01\xa1a\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc0", r#"{"1":"a","18446744073709551615":null}"#),
        (b"\x81\xff\x81\xd0\x80\x90", r#"{"-1":{"-128":[]}}"#),
        (b"\xa3\x00\x7f\x1f", "\"\\u0000\u{7f}\\u001f\""),
    ];
    for (value, expected) in table {
        assert_eq!(unpacked(value), expected, "{value:x?}");
    }
}

#[test]
fn content_that_would_grow_without_measure_is_passed_as_a_whole() {
    // A million empty pieces of binary data, of two bytes each, would be 46 million bytes of JSON.
    let count = 1_000_000_u32;
    let many = [&b"\xdd"[..], &count.to_be_bytes(), &b"\xc4\0".repeat(count as usize)].concat();
    let text = unpacked(&many);
    assert!(text.starts_with(r#"{".class":"msgpack",".version":"1.0",".state":"3QAPQkDEAMQA"#), "{}", &text[..100]);
    assert!(text.len() < many.len() * 3 / 2);
    // Up to 16 MiB of JSON it may grow as it likes.
    let few = [&b"\xdd"[..], &300_000_u32.to_be_bytes(), &b"\xc4\0".repeat(300_000)].concat();
    assert!(unpacked(&few).starts_with(r#"[{".class":"bytes""#));
}

#[test]
fn every_depth_is_walked() {
    for depth in [1, 7, 8, 9, 11, 12, 13, 100, 1_000_000] {
        // Lists and maps in turn, each with something behind the next level.
        let open: Vec<u8> = (0..depth).flat_map(|level| if level % 3 == 0 { b"\x82\xa1a".to_vec() } else { b"\x92".to_vec() }).collect();
        let close: Vec<u8> =
            (0..depth).rev().flat_map(|level| if level % 3 == 0 { b"\xa1b\x02".to_vec() } else { b"\x03".to_vec() }).collect();
        let value = [&open[..], b"\x01", &close].concat();
        assert_eq!(skip::value(&value, 0), Ok(value.len()));
        assert!(skip::value(&value[..value.len() - 1], 0).is_err());
        let expected: String = (0..depth)
            .map(|level| if level % 3 == 0 { Cow::from("{\"a\":") } else { Cow::from("[") })
            .chain(["1".into()])
            .chain((0..depth).rev().map(|level| if level % 3 == 0 { ",\"b\":2}".into() } else { ",3]".into() }))
            .collect();
        assert!(unpacked(&value) == expected, "{depth}");
    }
}
