//! `GET /api/streams/{name}`: how a stream stands, its header, and its last message if it has ended. The two contents are passed on as
//! they come, and take no more memory than with a listener.

use std::fmt::Write;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::value::RawValue;

use crate::wire::ids::StreamName;

use super::answer::{Refused, json_response};
use super::asked::Name;
use super::call::{Call, Said};
use super::caller::Caller;
use super::lines::{self, json, listen};
use super::pieces::{self, Cut, Pieces};

/// Which receipt is for what.
const OF_DIRECTORY: u64 = 1;
const OF_STREAM: u64 = 2;

/// See the module.
pub(super) async fn show(caller: Caller, Name(name): Name) -> Result<Response, Refused> {
    let call = caller.admitted().await?;
    caller.in_time(begin(call, &name)).await
}

/// Answers as soon as it is known whether there is such a stream, and goes on from there.
async fn begin(mut call: Call, name: &str) -> Result<Response, Refused> {
    // First what the directory says, which does not count the one who asks. What comes later is not asked for.
    let mut entry = ask_directory(&mut call, &lines::listen_to_entry(name, OF_DIRECTORY)).await?;
    let stream = StreamName::new(name).map_err(|error| Refused::by_code("bad_stream", error.to_string()))?;
    if entry.is_none() && !stream.is_reserved() {
        // Another node may know it already. To listen to it is no way to find out: all would remember for a while that somebody has asked.
        call.say(r#"{"action":"hangup"}"#).await;
        entry = ask_directory(&mut call, &lines::listen_to_entry_abreast(name, OF_DIRECTORY)).await?;
        if entry.is_none() {
            return Err(Refused::unknown(name));
        }
    }
    call.say(&format!("{}\n{{\"action\":\"hangup\"}}", listen(name, OF_STREAM))).await;
    let mut text = format!("{{\"stream\":{}", json(name));
    add(&mut text, "directory", entry.as_deref());
    // The status comes first: there is no stream that has no header, has not ended, and is not in the directory.
    let (header, close) = (lines::put(&stream), lines::close(&stream));
    let receipt = format!("{{\"action\":\"receipt\",\"receipt\":{OF_STREAM}").into_bytes();
    let has_header = call.pass_to(&[&header, &receipt]).await? == 0;
    let mut has_ended = false;
    if !has_header {
        add(&mut text, "header", None);
        let said = call.hear().await?;
        if said.state == Some("waiting") && entry.is_none() {
            return Err(Refused::unknown(name));
        }
        has_ended = add_standing(&mut text, &said);
    }
    let body = pieces::body(|to| async move {
        if has_header {
            text.push_str(",\"header\":");
            call.enter(&header);
            pass_on(&mut call, std::mem::take(&mut text), &to).await?;
            call.pass_to(&[&receipt]).await?;
            has_ended = add_standing(&mut text, &call.hear().await?);
        }
        if has_ended {
            call.pass_to(&[&close]).await?;
            call.enter(&close);
            if call.goes_on(lines::MESSAGE).await? {
                call.enter(lines::MESSAGE);
                text.push_str(",\"last\":");
                pass_on(&mut call, std::mem::take(&mut text), &to).await?;
            } else {
                add(&mut text, "last", None);
            }
        }
        text.push_str("}\n");
        to.send(text).await
    });
    Ok(json_response(StatusCode::OK, body))
}

/// What the directory says when it is asked by this line.
async fn ask_directory(call: &mut Call, line: &str) -> Result<Option<Box<RawValue>>, Refused> {
    call.say(line).await;
    let mut entry = None;
    loop {
        let said = call.hear().await?;
        match (said.action, said.receipt) {
            ("put", _) => entry = said.message.map(RawValue::to_owned),
            ("receipt", Some(OF_DIRECTORY)) => return Ok(entry),
            _ => {}
        }
    }
}

/// Passes on a text, and the content whose line has begun.
async fn pass_on(call: &mut Call, text: String, to: &Pieces) -> Result<(), Cut> {
    to.send(text).await?;
    loop {
        let (part, is_last) = call.part().await?;
        if !part.is_empty() {
            to.send(part).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Adds what the receipt tells. Whether the stream has ended.
fn add_standing(text: &mut String, said: &Said<'_>) -> bool {
    let state = said.state.unwrap_or("waiting");
    // Writing to a text cannot fail.
    let _ = write!(text, ",\"state\":{}", json(state));
    add(text, "age", said.age);
    add(text, "position", said.position);
    state == "ended"
}

fn add(text: &mut String, name: &str, value: Option<&RawValue>) {
    let _ = write!(text, ",\"{name}\":{}", value.map_or("null", RawValue::get));
}
