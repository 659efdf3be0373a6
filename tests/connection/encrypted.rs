//! TLS over the in-memory transport: what comes and goes in pieces of any size is the same as without encryption, and what is held back is
//! bounded.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use msgstream::broker::{OutboxSettings, ReplaySettings, Settings};
use msgstream::internal::broker::connection::{Handshakes, Transport, serve};
use msgstream::internal::broker::outbox::Sink;
use msgstream::internal::wire::json_lines::JsonLines;
use msgstream::units::{ByteSize, Span};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tokio::time::timeout;

use super::certificates::Authority;
use super::pipe::{Peer, pipe};
use super::splits::{output, session};
use super::{Broker, put};

/// Both sides of the encryption.
struct Encryption {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Encryption {
    fn new() -> Self {
        let authority = Authority::new();
        let own = authority.local();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self {
            server: Arc::new(server.with_no_client_auth().with_single_cert(chain, key).unwrap()),
            client: Arc::new(client.with_root_certificates(roots).with_no_client_auth()),
        }
    }

    /// A connection that is encrypted already.
    async fn connect(&self, broker: &Broker) -> Encrypted {
        let (pipe, peer) = pipe();
        let (server, context) = (Arc::clone(&self.server), Arc::clone(&broker.context));
        tokio::spawn(async move {
            let transport = Handshakes::default().accept(pipe, server).await.ok().expect("a handshake");
            serve(transport, JsonLines::default(), context).await;
        });
        self.begin(peer).await
    }

    /// The client's half of a handshake.
    async fn begin(&self, peer: Peer) -> Encrypted {
        let tls = ClientConnection::new(Arc::clone(&self.client), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut client = Encrypted { peer, tls };
        client.shake_hands().await;
        client
    }
}

/// The client's end.
pub(super) struct Encrypted {
    pub(super) peer: Peer,
    pub(super) tls: ClientConnection,
}

impl Encrypted {
    pub(super) async fn shake_hands(&mut self) {
        while self.tls.is_handshaking() {
            let flight = self.flight();
            self.peer.send(flight);
            if self.tls.is_handshaking() {
                let answer = self.peer.some_bytes().await;
                self.understand(&answer);
            }
        }
        let flight = self.flight();
        if !flight.is_empty() {
            self.peer.send(flight);
        }
    }

    /// What is to be sent.
    pub(super) fn flight(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Text, encrypted.
    fn sealed(&mut self, text: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut bytes = Vec::new();
        for part in text.chunks(10_000) {
            self.tls.writer().write_all(part).unwrap();
            bytes.extend(self.flight());
        }
        bytes
    }

    fn line(&mut self, line: &str) {
        let bytes = self.sealed(format!("{line}\n").as_bytes());
        self.peer.send(bytes);
    }

    fn understand(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.try_understand(bytes).unwrap()
    }

    pub(super) fn try_understand(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        use std::io::Read;
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            self.tls.process_new_packets()?;
            // Nothing more is no end here.
            let _ = self.tls.reader().read_to_end(&mut plain);
        }
        Ok(plain)
    }

    /// Text up to one that ends so.
    async fn until(&mut self, end: &str) -> String {
        let mut plain = Vec::new();
        while !plain.ends_with(end.as_bytes()) {
            let bytes = self.peer.some_bytes().await;
            assert!(!bytes.is_empty(), "the broker has closed: {}", String::from_utf8_lossy(&plain));
            plain.extend(self.understand(&bytes));
        }
        String::from_utf8(plain).unwrap()
    }

    /// Text up to the end, which is said.
    async fn rest(&mut self) -> String {
        let bytes = self.peer.rest_of_bytes().await;
        let plain = self.understand(&bytes);
        let state = self.tls.process_new_packets().unwrap();
        assert!(state.peer_has_closed(), "the broker did not take its leave");
        String::from_utf8(plain).unwrap()
    }
}

const LISTENS: &[u8] = b"{\"action\":\"listen\",\"stream\":\"s\"}\n{\"action\":\"listen\",\"stream\":\"t\"}\n";

#[tokio::test(start_paused = true)]
async fn what_comes_in_pieces_is_the_same_as_without_encryption() {
    let (encryption, session) = (Encryption::new(), session());
    let whole = output([&session[..]].into_iter()).await;
    for length in [1, 2, 3, 100, 9_000, usize::MAX] {
        let broker = Broker::start(&Settings::default());
        let mut client = encryption.connect(&broker).await;
        let bytes = client.sealed(&[LISTENS, &session].concat());
        for piece in bytes.chunks(length) {
            client.peer.send(piece);
        }
        assert_eq!(client.rest().await, whole, "pieces of {length} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn every_split_point_of_a_line_gives_the_same_answer() {
    let encryption = Encryption::new();
    let broker = Broker::start(&Settings::default());
    let mut client = encryption.connect(&broker).await;
    let length = client.sealed(b"{\"action\":\"ping\"}\n").len();
    let mut client = encryption.connect(&broker).await;
    for at in 0..length {
        let bytes = client.sealed(b"{\"action\":\"ping\"}\n");
        let (one, other) = bytes.split_at(at);
        if at > 0 {
            client.peer.send(one);
            tokio::task::yield_now().await;
        }
        client.peer.send(other);
        assert_eq!(client.until("\n").await, "{\"action\":\"pong\"}\n", "split at byte {at}");
    }
}

/// A record that the socket took in part is the last thing that waits: nothing else would send the rest of it.
// Seen to fail: with an outbox that takes a record for sent of which the socket took a part.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_record_is_sent_when_there_is_room() {
    let encryption = Encryption::new();
    for room in [1, 7, 60, 1000] {
        let broker = Broker::start(&Settings::default());
        let mut listener = encryption.connect(&broker).await;
        listener.line(r#"{"action":"listen","stream":"s","receipt":1}"#);
        listener.until("\n").await;
        listener.peer.room(0);
        let publisher = broker.connect();
        let message = put("s", &format!("\"{}\"", "x".repeat(500)));
        publisher.line(&message);
        publisher.ping().await;
        let mut plain = Vec::new();
        while !plain.ends_with(b"\n") {
            listener.peer.room(room);
            let bytes = timeout(Duration::from_secs(5), listener.peer.some_bytes()).await.expect("the rest is sent");
            plain.extend(listener.understand(&bytes));
        }
        assert_eq!(String::from_utf8(plain).unwrap(), format!("{message}\n"));
    }
}

// Seen to fail: with a connection that counts as sent when its queue is empty; and with a socket that was ended before it had taken the
// word of the end, which was lost.
#[tokio::test(start_paused = true)]
async fn the_last_word_is_whole_and_then_the_end_is_said() {
    let encryption = Encryption::new();
    let broker = Broker::start(&Settings::default());
    let mut client = encryption.connect(&broker).await;
    client.line(r#"{"action":"ping"}"#);
    client.until("\n").await;
    client.peer.room(0);
    client.line(r#"{"action":"close"}"#);
    let mut bytes = Vec::new();
    while !client.peer.is_closed() {
        client.peer.room(5);
        bytes.extend(timeout(Duration::from_secs(5), client.peer.some_bytes()).await.expect("the rest is sent"));
    }
    assert_eq!(String::from_utf8(client.understand(&bytes)).unwrap(), "{\"action\":\"close\"}\n");
    assert!(client.tls.process_new_packets().unwrap().peer_has_closed(), "the broker did not take its leave");
}

// Seen to fail: when what is queued behind a held record was not counted.
#[tokio::test(start_paused = true)]
async fn little_is_held_beside_the_outbox() {
    let encryption = Encryption::new();
    // What a stream keeps is not counted as waiting.
    let broker = Broker::start(&Settings::default().replay(ReplaySettings::default().stream(ByteSize(0))));
    let mut listener = encryption.connect(&broker).await;
    listener.line(r#"{"action":"listen","stream":"s","receipt":1}"#);
    listener.until("\n").await;
    listener.peer.room(0);
    let publisher = broker.connect();
    let message = put("s", &format!("\"{}\"", "x".repeat(1000)));
    for _ in 0..200 {
        publisher.line(&message);
        publisher.ping().await;
    }
    let waits = broker.context.outbox.gauge.bytes();
    assert!(waits > 180 << 10, "of 200 KiB only {waits} bytes wait where they are counted");
    // All of it comes once there is room.
    listener.peer.room(usize::MAX >> 1);
    let all = format!("{message}\n").repeat(200);
    let mut plain = Vec::new();
    while plain.len() < all.len() {
        let bytes = timeout(Duration::from_secs(5), listener.peer.some_bytes()).await.expect("the rest is sent");
        plain.extend(listener.understand(&bytes));
    }
    assert!(plain == all.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_cut_off_and_who_takes_little_is_not() {
    let encryption = Encryption::new();
    for takes in [false, true] {
        let outbox = OutboxSettings::default().write_time(Span::from_secs(10)).drain_time(Span::from_secs(10));
        let broker = Broker::start(&Settings::default().outbox(outbox));
        let mut listener = encryption.connect(&broker).await;
        listener.line(r#"{"action":"listen","stream":"s","receipt":1}"#);
        listener.until("\n").await;
        listener.peer.room(0);
        let publisher = broker.connect();
        publisher.line(&put("s", &format!("\"{}\"", "x".repeat(10_000))));
        publisher.ping().await;
        let mut taken = Vec::new();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if takes {
                // A part of one record, which takes a minute.
                listener.peer.room(100);
                taken.extend(listener.peer.some_bytes().await);
            }
        }
        publisher.line(r#"{"action":"put","stream":"s","message":1,"receipt":1}"#);
        let receipt = publisher.ping().await;
        assert!(receipt.contains(if takes { "\"listeners\":1" } else { "\"listeners\":0" }), "{takes}: {receipt}");
    }
}

/// The same for what is written at once.
// Seen to fail: with a transport that encrypts all that it is given.
#[tokio::test(start_paused = true)]
async fn one_write_takes_no_more_than_five_records() {
    let encryption = Encryption::new();
    let (handshakes, (pipe, peer)) = (Handshakes::default(), pipe());
    let (transport, mut client) = tokio::join!(handshakes.accept(pipe, Arc::clone(&encryption.server)), encryption.begin(peer));
    let transport = transport.ok().expect("a handshake");
    client.peer.some_bytes().await;
    let piece = [b'x'; 4000];
    let begun = transport.try_write(&[IoSlice::new(&piece); 15]).unwrap();
    assert_eq!(begun, 60_000, "all that the socket takes");
    client.peer.room(0);
    assert_eq!(transport.try_write(&[IoSlice::new(&piece); 16]).unwrap(), 8 << 10, "in the beginning records are short");
    client.peer.room(usize::MAX >> 1);
    assert_eq!(transport.try_flush().unwrap().left, 0);
    client.peer.room(0);
    let taken = transport.try_write(&[IoSlice::new(&piece); 40]).unwrap();
    assert_eq!(taken, 80 << 10, "of 160,000 bytes that the socket does not take");
    assert!(transport.holds() && !transport.is_ready());
    assert_eq!(transport.try_write(&[IoSlice::new(&piece)]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let left = transport.try_flush().unwrap().left;
    assert!((80 << 10..81 << 10).contains(&left), "{left} bytes are held");
    // Seen to fail: what is held counted as the peer's own doing, and whoever spoke meanwhile was dropped with all that waited.
    let said = client.sealed(b"a line");
    client.peer.send(said);
    let mut heard = Vec::with_capacity(100);
    assert_eq!(transport.try_read(&mut heard).unwrap(), 6);
    transport.hold_little();
    client.peer.room(usize::MAX >> 1);
    assert_eq!(transport.try_flush().unwrap().left, 0);
    client.peer.room(0);
    assert_eq!(transport.try_write(&[IoSlice::new(&piece); 16]).unwrap(), 8 << 10, "for one who wants what is new");
}

// Seen to fail: with what was decrypted and had no room thrown away.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_longer_than_the_room_is_read_in_pieces() {
    let encryption = Encryption::new();
    let (handshakes, (pipe, peer)) = (Handshakes::default(), pipe());
    let (transport, mut client) = tokio::join!(handshakes.accept(pipe, Arc::clone(&encryption.server)), encryption.begin(peer));
    let transport = transport.ok().expect("a handshake");
    let text: Vec<u8> = (0..30_000_u32).map(|number| number as u8).collect();
    let bytes = client.sealed(&text);
    client.peer.send(bytes);
    let mut read = Vec::new();
    while read.len() < text.len() {
        let mut buffer = Vec::with_capacity(700);
        timeout(Duration::from_secs(5), poll_fn(|cx| transport.poll_readable(cx))).await.expect("there is more").unwrap();
        match transport.try_read(&mut buffer) {
            Ok(count) => assert!(count == buffer.len() && count > 0),
            // No record is whole yet.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        read.append(&mut buffer);
    }
    assert!(read == text);
}

#[tokio::test(start_paused = true)]
async fn half_a_record_is_nothing_and_its_end_is_the_end() {
    let encryption = Encryption::new();
    let broker = Broker::start(&Settings::default());
    let listener = broker.listener("s").await;
    for (missing, kept) in [(0, true), (1, false)] {
        let mut client = encryption.connect(&broker).await;
        let bytes = client.sealed(format!("{}\n", put("s", "1")).as_bytes());
        client.peer.send(&bytes[..bytes.len() - missing]);
        client.peer.end_of_file();
        client.rest().await;
        let heard = listener.ping().await;
        assert_eq!(heard, if kept { format!("{}\n", put("s", "1")) } else { String::new() });
    }
}

/// What was changed on its way ends the connection, and nobody else's; the client is told.
#[tokio::test(start_paused = true)]
async fn a_record_that_was_changed_ends_its_connection_only() {
    let encryption = Encryption::new();
    let broker = Broker::start(&Settings::default());
    let listener = broker.listener("s").await;
    let length = {
        let mut client = encryption.connect(&broker).await;
        client.sealed(format!("{}\n", put("s", "1")).as_bytes()).len()
    };
    // All but the version, which is not looked at, and the length.
    for at in (0..length).filter(|at| !(1..5).contains(at)) {
        let mut client = encryption.connect(&broker).await;
        let mut bytes = client.sealed(format!("{}\n", put("s", "1")).as_bytes());
        bytes[at] ^= 0x40;
        client.peer.send(bytes);
        let told = timeout(Duration::from_secs(5), client.peer.rest_of_bytes()).await.expect("it ends");
        assert!(!told.is_empty(), "byte {at}: the client is not told");
        assert_eq!(listener.ping().await, "", "byte {at}");
    }
}
