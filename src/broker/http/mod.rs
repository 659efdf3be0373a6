//! The broker over HTTP: what it says of itself, streams for whoever has only `curl` or a browser, and WebSockets on which the whole
//! contract is spoken.
//!
//! Whoever reads or writes a stream here is a connection like any other, with the same outbox, limits and rights: a request says lines on
//! a connection within the program, and a WebSocket or a listener to events becomes a connection once its first answer is sent. Knows
//! nothing of listening sockets and configuration files.

mod answer;
mod asked;
mod body;
mod bytes_io;
mod call;
mod caller;
mod events;
mod framed;
mod front;
mod health;
mod hold;
mod lines;
mod listing;
mod next;
mod overview;
mod page;
mod pieces;
mod pipe;
mod routes;
mod show;
mod sites;
mod streams;
mod upgrades;
mod visit;
mod websocket;
mod without_room;

pub(crate) use answer::last_word;
pub(crate) use front::Front;
pub(crate) use routes::router;
pub(crate) use visit::visit;
pub(crate) use without_room::visit_without_room;
