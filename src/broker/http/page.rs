//! The page on which jobs are watched. Its files are in the program; nothing is loaded from elsewhere.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha1::{Digest, Sha1};

use super::answer::{Refused, no_such_path};
use super::asked::Name;

macro_rules! files {
    ($($name:literal,)*) => {
        /// The files and what is in them.
        const FILES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("page/", $name))),)*];
    };
}

files! {
    "address.js",
    "along.js",
    "chart.js",
    "clock.js",
    "directory.js",
    "dom.js",
    "facts.js",
    "follow.js",
    "frame.js",
    "heard.js",
    "icon.svg",
    "index.html",
    "job.js",
    "keys.js",
    "lines.js",
    "list.js",
    "main.js",
    "message.js",
    "numbers.js",
    "order.js",
    "panels.js",
    "plots.js",
    "row.js",
    "rows.js",
    "series.js",
    "stream.js",
    "style.css",
    "tail.js",
    "vendor/uPlot.LICENSE",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
    "watching.js",
    "wire.js",
    "words.js",
}

/// By what a browser knows whether the page that it has is this one. Of all files, since they belong together.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let digest = FILES.iter().fold(Sha1::new(), |digest, (name, content)| digest.chain_update(name).chain_update(content));
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest.finalize()))
});

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Result<Response, Refused> {
    file("index.html", &headers).await
}

/// `GET /page/{file}`.
pub(super) async fn part(Name(name): Name, headers: HeaderMap) -> Result<Response, Refused> {
    file(&name, &headers).await
}

async fn file(name: &str, headers: &HeaderMap) -> Result<Response, Refused> {
    let Some((_, content)) = FILES.iter().find(|(known, _)| *known == name) else { return Err(no_such_path().await) };
    // Asked for each time, and sent only if it has changed: the page fits to the broker that it comes from.
    let kept = [(header::CACHE_CONTROL, "no-cache"), (header::ETAG, TAG.as_str())];
    let has_it = |tag: &HeaderValue| tag.as_bytes().split(|byte| *byte == b',').any(|tag| tag.trim_ascii() == TAG.as_bytes());
    if headers.get_all(header::IF_NONE_MATCH).iter().any(has_it) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    Ok((kept, [(header::CONTENT_TYPE, content_type(name))], *content).into_response())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::FILES;

    #[test]
    fn every_file_of_the_page_is_in_the_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker/http/page");
        let names = |folder: &str| -> Vec<String> {
            let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap());
            let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
            files.map(|entry| format!("{folder}{}", entry.file_name().to_str().unwrap())).collect()
        };
        let mut there: BTreeSet<_> = names("").into_iter().chain(names("vendor/")).collect();
        assert!(there.remove("vendor/README.md"), "what is in the folder, for people");
        assert_eq!(FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), there);
    }
}
