//! What a listener that wants the newest message only may be sent: how many messages become one depends on how fast it reads.

/// One thing that a listener is told, as the model has it.
enum Item<'l> {
    /// From here on what waits of this stream is not replaced any more.
    From(&'l str),
    /// A message that a later one may replace, and its stream.
    Newest(&'l str, &'l str),
    Line(&'l str),
}

/// Whether a listener got what the model says: each line in its place, but that any number of newest messages of a stream may become
/// the last of them, in the place of the first, behind a count of the others. Or else the first line that is wrong.
pub(super) fn agree(got: &str, expected: &str) -> Result<(), String> {
    let mut expected: Vec<Option<Item<'_>>> = expected.split_inclusive('\n').map(item).map(Some).collect();
    let mut got = got.split_inclusive('\n');
    while let Some(line) = got.next() {
        let next = expected.iter_mut().find(|item| matches!(item, Some(Item::Line(_) | Item::Newest(..))));
        let right = match next.as_ref().and_then(|next| next.as_ref()) {
            Some(Item::Line(right)) => {
                let right = *right;
                *next.unwrap() = None;
                right
            }
            Some(Item::Newest(stream, _)) => {
                let stream = *stream;
                let replaced = replaced(line, stream);
                let line = if replaced > 0 { got.next().unwrap_or_default() } else { line };
                let right = take(&mut expected, stream, replaced + 1)?;
                if line != right {
                    return Err(format!("{line}is not {right}"));
                }
                continue;
            }
            Some(Item::From(_)) | None => return Err(format!("{line}comes unasked")),
        };
        if line != right {
            return Err(format!("{line}is not {right}"));
        }
    }
    let missing = expected.iter().flatten().find_map(|item| match item {
        Item::From(_) => None,
        Item::Newest(_, line) | Item::Line(line) => Some(*line),
    });
    missing.map_or(Ok(()), |line| Err(format!("{line}is missing")))
}

fn item(line: &str) -> Item<'_> {
    if let Some(stream) = line.strip_prefix("(latest of ").and_then(|rest| rest.strip_suffix(" from here)\n")) {
        return Item::From(stream);
    }
    match line.strip_prefix("(latest of 1) ") {
        Some(line) => Item::Newest(stream_of(line), line),
        None => Item::Line(line),
    }
}

fn stream_of(line: &str) -> &str {
    line.split_once("\"stream\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

/// How many messages a line says that were replaced.
fn replaced(line: &str, stream: &str) -> usize {
    let count = line.strip_prefix(&format!("{{\"action\":\"skipped\",\"stream\":\"{stream}\",\"messages\":"));
    count.map_or(0, |count| count.trim_end_matches("}\n").parse().unwrap())
}

/// Takes so many messages of a stream out. Returns the last.
fn take<'l>(expected: &mut [Option<Item<'l>>], stream: &str, count: usize) -> Result<&'l str, String> {
    let mut last = Err(format!("{count} messages of {stream} became one, and there were none"));
    let mut left = count;
    for item in expected {
        if left == 0 {
            break;
        }
        match item {
            Some(Item::Newest(of, line)) if *of == stream => {
                last = Ok(*line);
                left -= 1;
                *item = None;
            }
            Some(Item::From(of)) if *of == stream && left < count => {
                return Err(format!("a message of {stream} was replaced after its listener began again"));
            }
            _ => {}
        }
    }
    if left > 0 { Err(format!("{count} messages of {stream} became one, and there were {} of them", count - left)) } else { last }
}

#[cfg(test)]
mod tests {
    use super::agree;

    fn put(stream: &str, message: u8) -> String {
        format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":{message}}}\n")
    }

    fn newest(stream: &str, message: u8) -> String {
        format!("(latest of 1) {}", put(stream, message))
    }

    #[test]
    fn newest_messages_may_become_one_in_the_place_of_the_first_and_no_other() {
        let begins = "(latest of a from here)\n".to_owned();
        let skipped = |count: u8| format!("{{\"action\":\"skipped\",\"stream\":\"a\",\"messages\":{count}}}\n");
        let expected = [begins.clone(), newest("a", 1), put("b", 1), newest("a", 2), begins, newest("a", 3)].concat();
        let agrees = |got: &[String]| agree(&got.concat(), &expected).is_ok();
        assert!(agrees(&[put("a", 1), put("b", 1), put("a", 2), put("a", 3)]));
        assert!(agrees(&[skipped(1), put("a", 2), put("b", 1), put("a", 3)]));
        for wrong in [
            vec![put("b", 1), skipped(1), put("a", 2), put("a", 3)],
            vec![skipped(2), put("a", 3), put("b", 1)],
            vec![put("a", 1), put("b", 1), skipped(1), put("a", 3)],
            vec![skipped(1), put("a", 1), put("b", 1), put("a", 3)],
            vec![put("a", 1), put("b", 1), put("a", 3)],
            vec![put("a", 1), put("b", 1), put("a", 2)],
            vec![put("a", 2), put("b", 1), put("a", 3)],
            vec![put("a", 1), put("b", 1), put("a", 2), put("a", 3), put("a", 3)],
        ] {
            assert!(!agrees(&wrong), "{wrong:?}");
        }
    }
}
