//! The document, the dashboard and the alerts name the metrics that there are, and all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use msgstream::broker::{MetricsFormat, Server, Settings};
use serde_json::Value;

/// What a broker tells, in the older text format: there the name of a family is that of its series.
async fn told() -> String {
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], &Settings::default()).unwrap();
    server.metrics().render(MetricsFormat::Text)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Each metric with its labels, and its type and unit, as the document writes them.
fn families(told: &str) -> BTreeMap<String, String> {
    let types = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let family = |(name, kind): (&str, &str)| {
        let series = told.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let labels: Vec<_> = match series.strip_prefix('{').and_then(|labels| labels.split_once('}')) {
            Some((labels, _)) => labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect(),
            None => Vec::new(),
        };
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let unit = ["bytes", "seconds"].into_iter().find(|unit| name.trim_end_matches("_total").ends_with(unit));
        (format!("{name}{labels}"), unit.map_or_else(|| kind.to_owned(), |unit| format!("{kind}, {unit}")))
    };
    types.map(family).collect()
}

/// The names of all series, without labels.
fn series(told: &str) -> BTreeSet<&str> {
    told.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("msgstream_") || word.starts_with("process_")).collect()
}

#[tokio::test]
async fn the_document_names_each_metric_with_its_type() {
    let document = read("docs/metrics.md");
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.strip_suffix('`')?;
        Some((name.to_owned(), cells.next()?.to_owned(), cells.next()?.to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.iter().all(|(_, _, meaning)| !meaning.is_empty()));
    let documented: BTreeMap<_, _> = rows.into_iter().map(|(name, kind, _)| (name, kind)).collect();
    assert_eq!(documented, families(&told().await));
}

/// Every expression of a dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "expr" || name == "query" || name == "definition" => found.push(text.clone()),
                    member => expressions(member, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| expressions(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_dashboard_shows_all_metrics_and_no_others() {
    let told = told().await;
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/msgstream.json")).unwrap();
    let mut all = Vec::new();
    expressions(&dashboard, &mut all);
    let text = all.join("\n");
    let (shown, there) = (named(&text), series(&told));
    let unknown: Vec<_> = shown.difference(&there).collect();
    assert!(unknown.is_empty(), "there are none of these: {unknown:?}");
    let missing: Vec<_> = there.difference(&shown).collect();
    assert!(missing.is_empty(), "these are not shown: {missing:?}");
}

#[tokio::test]
async fn the_dashboard_stands_as_it_should() {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/msgstream.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the number of another one");
        let kind = panel["type"].as_str().unwrap();
        assert!(["row", "stat", "gauge", "timeseries", "table"].contains(&kind), "{title} needs a plugin: {kind}");
        assert!(kind == "row" || !panel["description"].as_str().unwrap().is_empty(), "{title} does not say what it shows");
        let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{title} is too wide");
        for place in (number("x")..number("x") + number("w")).flat_map(|x| (number("y")..number("y") + number("h")).map(move |y| (x, y))) {
            assert!(places.insert(place), "{title} covers another one");
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            // The alerts are those of all brokers.
            assert!(expr.contains("$instance") || expr.contains("ALERTS"), "{title} is not of the broker that was chosen: {expr}");
        }
    }
}

#[tokio::test]
async fn the_alerts_and_their_tests_are_of_metrics_that_there_are() {
    let (told, alerts, tests) = (told().await, read("packaging/prometheus/alerts.yml"), read("packaging/prometheus/alerts.test.yml"));
    let there = series(&told);
    for text in [&alerts, &tests] {
        let unknown: Vec<_> = named(text).into_iter().filter(|name| !there.contains(name)).collect();
        assert!(unknown.is_empty(), "there are none of these: {unknown:?}");
    }
    let names = |text: &str, before: &str| -> BTreeSet<String> {
        let words = text.split(before).skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next());
        words.map(str::to_owned).collect()
    };
    assert_eq!(names(&alerts, "- alert: "), names(&tests, "alertname=\""), "each alert is tested");
    let count = |word: &str| alerts.matches(word).count();
    assert_eq!([count("summary: "), count("description: "), count("severity: ")], [count("- alert: "); 3]);
}
