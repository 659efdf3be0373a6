//! Lines in a form of the user's own.

use std::fmt::Write;
use std::str::FromStr;

use jiff::Timestamp;

use crate::cli::clock::stamp;
use crate::cli::text::inline;

use super::job::Job;

/// A line in a form such as `{time} {stream}: {text}`.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Field(Field),
}

/// What can stand in a template.
#[derive(Debug, Clone, Copy)]
enum Field {
    Stream,
    Title,
    Text,
    Level,
    Time,
    K,
    Total,
    Units,
    Percent,
}

const FIELDS: [(&str, Field); 9] = [
    ("stream", Field::Stream),
    ("title", Field::Title),
    ("text", Field::Text),
    ("level", Field::Level),
    ("time", Field::Time),
    ("k", Field::K),
    ("total", Field::Total),
    ("units", Field::Units),
    ("percent", Field::Percent),
];

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = (rest.get(..at).unwrap_or_default(), rest.get(at..).unwrap_or_default());
            plain += before;
            if let Some(behind) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                plain += brace.get(..1).unwrap_or_default();
                rest = behind;
                continue;
            }
            let Some((name, behind)) = brace.strip_prefix('{').and_then(|field| field.split_once('}')) else {
                let (one, twice) = if brace.starts_with('{') { ("{ without }", "{{") } else { ("} without {", "}}") };
                return Err(format!("there is a {one}; write {twice} for the character itself"));
            };
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Field(field(name)?));
            rest = behind;
        }
        parts.push(Part::Text(plain + rest));
        Ok(Self { parts })
    }
}

fn field(name: &str) -> Result<Field, String> {
    let known = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
    known.ok_or_else(|| {
        let names: Vec<String> = FIELDS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        format!("there is no {{{name}}}; write {}, or {{{{ for a brace", names.join(", "))
    })
}

impl Template {
    /// The line for a text of a job. What is not known is left empty.
    pub(super) fn fill(&self, job: &Job, text: &str, level: Option<&str>) -> String {
        let mut line = String::new();
        for part in &self.parts {
            let amount = |amount: Option<f64>| amount.map(|amount| amount.to_string()).unwrap_or_default();
            let own = |text: Option<&str>| text.map(inline).unwrap_or_default();
            let value = match part {
                Part::Text(text) => text.clone(),
                Part::Field(Field::Stream) => inline(&job.name),
                Part::Field(Field::Title) => own(job.title.as_deref()),
                Part::Field(Field::Text) => text.to_owned(),
                Part::Field(Field::Level) => own(level),
                Part::Field(Field::Time) => stamp(Timestamp::now()),
                Part::Field(Field::K) => amount(job.k),
                Part::Field(Field::Total) => amount(job.total),
                Part::Field(Field::Units) => own(job.units.as_deref()),
                Part::Field(Field::Percent) => job.share().map(|share| format!("{:.0}", (share * 100.0).floor())).unwrap_or_default(),
            };
            // Writing to a string cannot fail.
            let _ = write!(line, "{value}");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::monitor::{Progress, Start};

    #[test]
    fn fields_are_filled_and_unknown_ones_are_told() {
        let mut job = Job::new("fit".to_owned());
        job.start(Start::new("decay").of(8.0).units("steps"), None);
        job.step(Progress::new(3.0).into());
        let fill = |text: &str| text.parse::<Template>().map(|template| template.fill(&job, "hot", Some("info")));
        assert_eq!(fill("{stream} {title} {k}/{total} {units} {percent}% {level}: {text}"), Ok("fit decay 3/8 steps 37% info: hot".into()));
        assert_eq!(fill(r#"{{"text":"{text}"}}"#), Ok(r#"{"text":"hot"}"#.into()));
        assert!(fill("{nonesuch}").unwrap_err().starts_with("there is no {nonesuch}; write {stream}, {title}, {text}, "));
        assert_eq!(fill("a { b"), Err("there is a { without }; write {{ for the character itself".into()));
        assert_eq!(fill("a } b"), Err("there is a } without {; write }} for the character itself".into()));
    }
}
