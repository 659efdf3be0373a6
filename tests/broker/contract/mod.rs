//! The wire contract, row by row: every dialogue of `transcripts/`, over TCP, over TLS, over a Unix socket and over a WebSocket, in
//! JSON lines and in MessagePack.

mod mixed;
mod numbers;

use crate::harness::{Encoding, Transcript, Transport};

macro_rules! transcripts {
    ($($name:ident: $what:literal,)*) => {
        mod over_tcp {
            $(#[test]
            fn $name() {
                super::Transcript::read(stringify!($name)).play(super::Transport::Tcp, super::Encoding::JsonLines);
            })*
        }

        mod over_unix {
            $(#[test]
            fn $name() {
                super::Transcript::read(stringify!($name)).play(super::Transport::Unix, super::Encoding::JsonLines);
            })*
        }

        mod over_tls {
            $(#[test]
            fn $name() {
                super::Transcript::read(stringify!($name)).play(super::Transport::Tls, super::Encoding::JsonLines);
            })*
        }

        mod over_websocket {
            $(#[test]
            fn $name() {
                super::Transcript::read(stringify!($name)).play(super::Transport::WebSocket, super::Encoding::JsonLines);
            })*
        }

        mod packed_over_tcp {
            $(#[test]
            fn $name() {
                super::Transcript::read(stringify!($name)).play(super::Transport::Tcp, super::Encoding::MessagePack);
            })*
        }

        mod packed_over_tls {
            $(#[test]
            fn $name() {
                super::Transcript::read(stringify!($name)).play(super::Transport::Tls, super::Encoding::MessagePack);
            })*
        }

        mod packed_over_unix {
            $(#[test]
            fn $name() {
                super::Transcript::read(stringify!($name)).play(super::Transport::Unix, super::Encoding::MessagePack);
            })*
        }

        #[test]
        fn every_transcript_is_played() {
            let mut listed = [$(stringify!($name)),*];
            listed.sort_unstable();
            assert_eq!(Transcript::names(), listed);
        }
    };
}

transcripts! {
    auth: "who is let in, and what they may do",
    close: "ends a stream, with and without a message; what comes after an end",
    close_connection: "a client that takes its leave",
    content: "messages pass byte for byte",
    delete: "forgets a stream",
    directory: "how each stream stands",
    endings: "end of file, half lines, resets: how a connection ends without a word",
    foreign: "clients of something else",
    guarantees: "order, no gap, truthful endings, one client's mistake",
    hangup: "stops listening to one stream, or to all",
    header: "stores a header, reopens a stream",
    latest: "the newest message in place of what waits, and a count",
    limits: "what there may be only so much of",
    lines: "CR LF, blank lines, white space, key order",
    listen: "the header first, then every later message",
    mistakes: "every error code, and that the connection goes on",
    names: "escapes, other alphabets, the broker's own names",
    ping: "after all earlier lines",
    prefix: "all streams whose names begin so",
    put: "to every current listener, with and without a header",
    receipts: "with every action, and with what was refused",
    replay: "where a stream stands, what a listener missed, the last messages, actions for one run only",
    sessions: "a client that comes back knows what was taken, and speaks alone",
    too_many_errors: "64 bad lines in a row",
    wills: "how a stream ends whose publisher is lost",
}
