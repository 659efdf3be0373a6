//! What a file of Rust names: its code without comments, texts and tests, and the paths in it.

/// A path that a file names, such as `crate::wire::Frame`, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
    /// The name that it has in this file, if an import gives it one.
    pub(crate) local: Option<String>,
    /// Whether it is only passed on: `pub use`, in whatever reach.
    pub(crate) passed_on: bool,
}

/// All paths of a file that begin with `crate`, `super` or `self`, or with one of its own modules, tests left out.
pub(crate) fn named(source: &str, children: &[&str]) -> Vec<Named> {
    let mut code = without_tests(code_only(source));
    let mut found = Vec::new();
    for (start, end) in imports(&code) {
        let statement = &code[start..end];
        let line = line_of(&code, start);
        let passed_on = is_passed_on(&code[..start]);
        for (path, local) in expanded(statement) {
            if path.first().is_some_and(|first| is_own(first, children)) {
                found.push(Named { line, path, local: Some(local), passed_on });
            }
        }
        blank(&mut code, start, end);
    }
    found.extend(inline(&code, children));
    found
}

fn is_own(first: &str, children: &[&str]) -> bool {
    matches!(first, "crate" | "super" | "self") || children.contains(&first)
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn blank(code: &mut String, start: usize, end: usize) {
    let blanks: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
    code.replace_range(start..end, &blanks);
}

/// Blanks comments and the inside of quotes, so that only code is left. Line breaks stay where they are.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(text) = rest.strip_prefix("r#\"") {
            text.find("\"#").map_or(rest.len(), |at| at + 5)
        } else if first == '"' {
            end_of_text(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\") {
            // A quote as a character begins no text.
            rest[2..].find('\'').map_or(rest.len(), |at| at + 3)
        } else {
            // What is no ASCII stands in texts and comments only; one byte for each keeps positions simple.
            code.push(if first.is_ascii() { first } else { ' ' });
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    code
}

fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Blanks modules that are for tests alone.
fn without_tests(mut code: String) -> String {
    while let Some(start) = code.find("#[cfg(test)]") {
        let end = match code[start..].find(['{', ';']) {
            Some(at) if code[start + at..].starts_with('{') => start + at + end_of_block(&code[start + at..]),
            Some(at) => start + at + 1,
            None => code.len(),
        };
        blank(&mut code, start, end);
    }
    code
}

fn end_of_block(block: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in block.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    block.len()
}

/// Where `use` statements stand, from behind the word to their end.
fn imports(code: &str) -> Vec<(usize, usize)> {
    let starts = code.match_indices("use ").filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    starts.map(|(at, word)| (at + word.len(), code[at..].find(';').map_or(code.len(), |end| at + end))).collect()
}

fn is_passed_on(before: &str) -> bool {
    let statement = before.rsplit([';', '}', ']']).next().unwrap_or_default();
    statement.trim_start().starts_with("pub")
}

/// The paths of one import, `{}` taken apart, each with the name that it has from then on.
fn expanded(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let (path, renamed) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim().to_owned())));
        let mut path: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let local = renamed.or_else(|| path.last().cloned()).unwrap_or_default();
        return if path.is_empty() { Vec::new() } else { vec![(path, local)] };
    };
    let mut found = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in group.char_indices() {
        if matches!(c, ',' | '}') && depth == 0 {
            found.extend(
                expanded(&format!("{prefix}{}", &group[start..at].trim())).into_iter().filter(|_| !group[start..at].trim().is_empty()),
            );
            start = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Paths in the midst of code.
fn inline(code: &str, children: &[&str]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut end = 0;
    for (at, _) in code.match_indices("::") {
        // Only at the first `::` of a path.
        let start = code[..at].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |before| before + 1);
        let is_visibility = code[..start].trim_end().ends_with("(in");
        if start < end || code[..start].ends_with("::") || is_visibility || !is_own(&code[start..at], children) {
            continue;
        }
        let length = code[start..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(code.len() - start);
        end = start + length;
        let path = code[start..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        found.push(Named { line: line_of(code, start), path, local: None, passed_on: false });
    }
    found
}

// The reader itself, on planted text.

#[track_caller]
fn assert_named(source: &str, expected: &[(usize, &str)]) {
    let found: Vec<_> = named(source, &["child"]).into_iter().map(|named| (named.line, named.path.join("::"))).collect();
    let found: Vec<_> = found.iter().map(|(line, path)| (*line, path.as_str())).collect();
    assert_eq!(found, expected, "{source}");
}

#[test]
fn a_path_is_found_in_every_form() {
    assert_named("use crate::a::B;\nuse crate::c::D as E;", &[(1, "crate::a::B"), (2, "crate::c::D")]);
    assert_named(
        "pub use crate::{a::{B, C}, d::{self, E}};",
        &[(1, "crate::a::B"), (1, "crate::a::C"), (1, "crate::d"), (1, "crate::d::E")],
    );
    assert_named(
        "use super::{\n    a,\n    b::C,\n};\nlet d = super::super::e::f();",
        &[(1, "super::a"), (1, "super::b::C"), (5, "super::super::e::f")],
    );
    assert_named("let a: Vec<crate::b::C>; child::call(std::mem::take(&mut other::child::D));", &[(1, "crate::b::C"), (1, "child::call")]);
    assert_named("use child::A;\nuse elsewhere::B;", &[(1, "child::A")]);
}

#[test]
fn comments_texts_tests_and_visibility_do_not_count() {
    assert_named("// use crate::a::B;\n/// [`crate::a`]\n/* crate::a::B */", &[]);
    assert_named(r##"let a = "a \" crate::a::B"; let b = r#"" crate::a::B"#; let c = '"';"##, &[]);
    assert_named(r#"let a = '"'; let b = "\\"; let c = '\''; use crate::a::B;"#, &[(1, "crate::a::B")]);
    assert_named("pub(in crate::a) fn b() {}", &[]);
    assert_named("#[cfg(test)]\nmod tests {\n    use crate::a::B;\n    fn c() {}\n}\nuse crate::d::E;", &[(6, "crate::d::E")]);
}

#[test]
fn what_is_passed_on_is_told_from_what_is_used() {
    let passed_on: Vec<_> =
        named("use child::A;\npub use child::B;\npub(crate) use child::C;", &["child"]).into_iter().map(|named| named.passed_on).collect();
    assert_eq!(passed_on, [false, true, true]);
}
