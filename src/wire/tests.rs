//! What the tests of every encoding share.

use super::{Action, Name, Payload, ReceiptId};

/// An action in words. `text` shows content.
pub(super) fn action_words(action: Action<'_>, text: impl Fn(&[u8]) -> String) -> String {
    let of = |stream: Name<'_>| stream.into_name().to_string();
    let content = |payload: Payload<'_>| text(payload.content) + if payload.verbatim { " as it stands" } else { "" };
    let last = |message: Option<Payload<'_>>| message.map_or("-".to_owned(), content);
    let mark = |receipt: Option<ReceiptId>| receipt.map_or(String::new(), |receipt| format!(" receipt {}", receipt.0));
    match action {
        Action::Put { stream, message, header, receipt } => {
            let header = header.map_or(String::new(), |header| format!(" header {}", content(header)));
            format!("put {} {}{header}{}", of(stream), content(message), mark(receipt))
        }
        Action::Header { stream, message, receipt } => format!("header {} {}{}", of(stream), content(message), mark(receipt)),
        Action::Listen { stream, receipt } => format!("listen {}{}", of(stream), mark(receipt)),
        Action::Hangup { stream, receipt } => format!("hangup {}{}", stream.map_or("all".to_owned(), of), mark(receipt)),
        Action::Close { stream, message, receipt } => format!("close {} {}{}", of(stream), last(message), mark(receipt)),
        Action::CloseConnection { receipt } => format!("close connection{}", mark(receipt)),
        Action::Delete { stream, message, receipt } => format!("delete {} {}{}", of(stream), last(message), mark(receipt)),
        Action::Ping { receipt } => format!("ping{}", mark(receipt)),
    }
}
