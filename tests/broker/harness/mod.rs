//! What the tests stand on: the broker as a process, clients, transcripts, and waiting with a deadline.

mod broker;
mod bystander;
mod client;
mod dialect;
mod encrypted;
mod node;
mod process;
mod socket;
mod transcript;
mod wait;
mod websocket;

pub(crate) use broker::{Broker, Place, Settings, are_nodes, command, settings};
pub(crate) use bystander::Bystander;
pub(crate) use client::{Client, is_end};
pub(crate) use dialect::{Dialect, Encoding, JSON_LINES};
pub(crate) use encrypted::{encryption, group};
pub(crate) use process::{Process, descriptors_for};
pub(crate) use socket::{Socket, Transport, tcp_from};
pub(crate) use transcript::Transcript;
pub(crate) use wait::{PATIENCE, alone, until, until_within, watch};
pub(crate) use websocket::WebSocket;
