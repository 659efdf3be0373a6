//! What the tests of every encoding share.

use super::{Action, Epoch, Name, Payload, Position, ReceiptId, Start};

/// An action in words. `text` shows content.
pub(super) fn action_words(action: Action<'_>, text: impl Fn(&[u8]) -> String) -> String {
    let of = |stream: Name<'_>| stream.into_name().to_string();
    let content = |payload: Payload<'_>| text(payload.content) + if payload.verbatim { " as it stands" } else { "" };
    let last = |message: Option<Payload<'_>>| message.map_or("-".to_owned(), content);
    let mark = |receipt: Option<ReceiptId>| receipt.map_or(String::new(), |receipt| format!(" receipt {}", receipt.text()));
    let run = |epoch: Option<Epoch>| epoch.map_or(String::new(), |epoch| format!(" of {epoch}"));
    let after = |position: Position| format!(" after {} {}", position.epoch, position.sequence);
    let last_ones = |last: Option<u64>| last.map_or(String::new(), |last| format!(" last {last}"));
    let latest = |latest: bool| if latest { " latest" } else { "" };
    let begin = |start: Box<Start>| start.after.map_or(String::new(), after) + &last_ones(start.last) + latest(start.latest);
    match action {
        Action::Put { stream, message, header, of: epoch, receipt } => {
            let header = header.map_or(String::new(), |header| format!(" header {}", content(header)));
            format!("put {} {}{header}{}{}", of(stream), content(message), run(epoch), mark(receipt))
        }
        Action::Header { stream, message, of: epoch, absent, receipt } => {
            let absent = if absent { " if absent" } else { "" };
            format!("header {} {}{absent}{}{}", of(stream), content(message), run(epoch), mark(receipt))
        }
        Action::Listen { stream, start, receipt } => {
            format!("listen {}{}{}", of(stream), start.map_or(String::new(), begin), mark(receipt))
        }
        Action::ListenPrefix { prefix, start, receipt } => {
            let start = start.unwrap_or_default();
            let streams = start.after.iter().flat_map(|positions| {
                positions.streams().map(|stream| format!(" {stream}{}", positions.get(stream.as_str()).map_or(String::new(), after)))
            });
            format!("listen {prefix:?}...{}{}{}", streams.collect::<String>(), last_ones(start.last), mark(receipt))
        }
        Action::HangupPrefix { prefix, receipt } => format!("hangup {prefix:?}...{}", mark(receipt)),
        Action::Hangup { stream, receipt } => format!("hangup {}{}", stream.map_or("all".to_owned(), of), mark(receipt)),
        Action::Close { stream, message, of: epoch, receipt } => {
            format!("close {} {}{}{}", of(stream), last(message), run(epoch), mark(receipt))
        }
        Action::CloseConnection { receipt } => format!("close connection{}", mark(receipt)),
        Action::Delete { stream, message, of: epoch, receipt } => {
            format!("delete {} {}{}{}", of(stream), last(message), run(epoch), mark(receipt))
        }
        Action::Will { stream, message, receipt } => format!("will {} {}{}", of(stream), last(message), mark(receipt)),
        Action::Session { session, receipt } => format!("session {}{}", session.as_str(), mark(receipt)),
        Action::Auth { token, receipt } => format!("auth {}{}", token.as_str(), mark(receipt)),
        Action::Ping { receipt } => format!("ping{}", mark(receipt)),
    }
}
