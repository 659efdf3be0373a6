//! Handshakes that go wrong, in each flight of the client's, and what no handshake leads to.

use std::sync::Arc;
use std::time::Duration;

use msgstream::broker::Settings;
use msgstream::internal::broker::connection::{Handshakes, serve};
use msgstream::internal::wire::json_lines::JsonLines;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::kx_group::SECP256R1;
use rustls::crypto::cipher::{MessageEncrypter, OutboundPlainMessage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore, ServerConfig,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::certificates::{Authority, Issued};
use super::encrypted::Encrypted;
use super::pipe::pipe;
use super::{Broker, put};

/// Both sides, each of which shows a certificate.
struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// How many times the client speaks.
    flights: usize,
}

fn of(issued: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    (chain, PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap())
}

impl Sides {
    fn new(version: &'static SupportedProtocolVersion, flights: usize, client: CryptoProvider, server: CryptoProvider) -> Self {
        let [client, server] = [client, server].map(Arc::new);
        let authority = Authority::new();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::clone(&server)).build().unwrap();
        let server = ServerConfig::builder_with_provider(server).with_safe_default_protocol_versions().unwrap();
        let (chain, key) = of(&authority.local());
        let server = server.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
        let client = ClientConfig::builder_with_provider(client).with_protocol_versions(&[version]).unwrap();
        let (chain, key) = of(&authority.for_client("alice"));
        let mut client = client.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        client.resumption = Resumption::disabled();
        client.enable_secret_extraction = true;
        Self { server: Arc::new(server), client: Arc::new(client), flights }
    }

    fn client(&self) -> ClientConnection {
        ClientConnection::new(Arc::clone(&self.client), ServerName::try_from("localhost").unwrap()).unwrap()
    }
}

/// What becomes of a flight on its way.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// It ends before this byte.
    Cut(usize),
    /// This byte is another.
    Changed(usize, u8),
}

impl Harm {
    fn at(self) -> usize {
        let (Self::Cut(at) | Self::Changed(at, _)) = self;
        at
    }
}

/// Whether the byte tells the kind or the version of a record. They need not be looked at: what counts is said once more within.
fn is_label(flight: &[u8], at: usize) -> bool {
    let mut start = 0;
    while let Some([_, _, _, high, low]) = flight.get(start..start + 5) {
        if (start..start + 3).contains(&at) {
            return true;
        }
        start += 5 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    false
}

/// What came of a handshake.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The flight has no such byte.
    NoSuchByte,
    Refused,
    Accepted,
    /// It may have been either, since nothing was harmed that counts.
    Unharmed,
}

/// A handshake of which the client's flight of this number is harmed.
async fn attempt(sides: &Sides, handshakes: &Arc<Handshakes>, number: usize, harm: Option<Harm>) -> Outcome {
    let ((pipe, peer), server, shared) = (pipe(), Arc::clone(&sides.server), Arc::clone(handshakes));
    let server = tokio::spawn(async move { shared.accept(pipe, server).await.is_ok() });
    let (mut client, mut spoken, mut unharmed) = (Encrypted { peer, tls: sides.client() }, 0, false);
    loop {
        let mut flight = client.flight();
        if !flight.is_empty() {
            if let Some(harm) = harm.filter(|_| spoken == number) {
                if harm.at() >= flight.len() {
                    return Outcome::NoSuchByte;
                }
                match harm {
                    Harm::Cut(at) => flight.truncate(at),
                    Harm::Changed(at, mask) => {
                        unharmed = is_label(&flight, at);
                        flight[at] ^= mask;
                    }
                }
                client.peer.send(&flight);
                if let Harm::Cut(_) = harm {
                    break;
                }
            } else {
                client.peer.send(&flight);
            }
            spoken += 1;
        }
        if !client.tls.is_handshaking() {
            break;
        }
        // The broker may wait for more than comes.
        let Ok(answer) = timeout(Duration::from_secs(1), client.peer.some_bytes()).await else { break };
        if answer.is_empty() || client.try_understand(&answer).is_err() {
            break;
        }
    }
    assert!(harm.is_some() || spoken == sides.flights, "the client has spoken {spoken} times");
    client.peer.end_of_file();
    let accepted = timeout(Duration::from_secs(60), server).await.expect("it ends").expect("it does not panic");
    match (accepted, unharmed) {
        (_, true) => Outcome::Unharmed,
        (true, false) => Outcome::Accepted,
        (false, false) => Outcome::Refused,
    }
}

/// Each costs its own connection: the next handshake is made, and whoever is connected is served.
// Seen to fail with a turn that was not given back after a fault; and with one after which the connection went on.
async fn every_harm_is_refused(sides: &Sides) {
    let (handshakes, broker) = (Arc::new(Handshakes::default()), Broker::start(&Settings::default()));
    let bystander = broker.connect();
    for flight in 0..sides.flights {
        for (kind, harm) in [("cut", (|at| Harm::Cut(at)) as fn(usize) -> Harm), ("changed", |at| Harm::Changed(at, 1 << (at % 8)))] {
            let mut refused = 0;
            for at in 0.. {
                match attempt(sides, &handshakes, flight, Some(harm(at))).await {
                    Outcome::NoSuchByte => break,
                    Outcome::Refused => refused += 1,
                    Outcome::Unharmed => {}
                    Outcome::Accepted => panic!("flight {flight}, {kind} at {at}: accepted"),
                }
            }

            assert!(refused > 100, "flight {flight}, {kind}: only {refused} were refused");
            assert_eq!(attempt(sides, &handshakes, 0, None).await, Outcome::Accepted);
            assert_eq!(bystander.ping().await, "");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_or_changed_in_a_handshake_is_refused() {
    every_harm_is_refused(&Sides::new(&TLS13, 2, default_provider(), default_provider())).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_or_changed_in_a_handshake_of_the_older_version_is_refused() {
    every_harm_is_refused(&Sides::new(&TLS12, 2, default_provider(), default_provider())).await;
}

/// The client guesses a group that the broker does not know, and is asked again.
#[tokio::test(start_paused = true)]
async fn what_is_cut_or_changed_in_a_handshake_that_begins_again_is_refused() {
    let server = CryptoProvider { kx_groups: vec![SECP256R1], ..default_provider() };
    every_harm_is_refused(&Sides::new(&TLS13, 3, default_provider(), server)).await;
}

/// A client's first words, as one of this version says them.
fn old_hello(version: [u8; 2], more: &[u8]) -> Vec<u8> {
    // A random number, no session, three suites of which two were known then, and no compression.
    let mut body = [&version[..], &[7; 32], &[0], &[0, 6, 0xc0, 0x0a, 0xc0, 0x2b, 0x00, 0x2f], &[1, 0]].concat();
    if !more.is_empty() {
        body.extend((more.len() as u16).to_be_bytes());
        body.extend(more);
    }
    let length = |length: usize| (length as u16).to_be_bytes();
    [&[0x16, 3, 1][..], &length(body.len() + 4), &[1, 0], &length(body.len()), &body].concat()
}

// Seen to fail with a fault after which the connection went on.
#[tokio::test(start_paused = true)]
async fn versions_that_are_broken_are_not_spoken() {
    const GROUPS_AND_SIGNATURES: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3];
    const FATAL: u8 = 2;
    const HANDSHAKE_FAILURE: u8 = 40;
    const PROTOCOL_VERSION: u8 = 70;
    /// As a client says it that knows newer ones, too.
    const SAYS_1_1: &[u8] = &[0, 43, 0, 3, 2, 3, 2];
    let (handshakes, sides) = (Handshakes::default(), Sides::new(&TLS13, 2, default_provider(), default_provider()));
    // What is told of the first three is that they lack what the newer version needs.
    for (version, more, why) in [
        ([3, 0], &[][..], HANDSHAKE_FAILURE),
        ([3, 1], &[], HANDSHAKE_FAILURE),
        ([3, 2], &[], HANDSHAKE_FAILURE),
        ([3, 1], GROUPS_AND_SIGNATURES, PROTOCOL_VERSION),
        ([3, 2], GROUPS_AND_SIGNATURES, PROTOCOL_VERSION),
        ([3, 3], &[GROUPS_AND_SIGNATURES, SAYS_1_1].concat(), PROTOCOL_VERSION),
    ] {
        let (pipe, peer) = pipe();
        peer.send(old_hello(version, more));
        peer.end_of_file();
        let accepted = timeout(Duration::from_secs(60), handshakes.accept(pipe, Arc::clone(&sides.server))).await;
        assert!(accepted.expect("it ends").is_err());
        let told = peer.rest_of_bytes().await;
        assert_eq!(told, [21, 3, 3, 0, 2, FATAL, why], "{version:?}");
    }
    // Whatever else is said is fit for the version that is spoken.
    let (pipe, peer) = pipe();
    peer.send(old_hello([3, 3], GROUPS_AND_SIGNATURES));
    let server = tokio::spawn(async move { handshakes.accept(pipe, sides.server).await.is_ok() });
    assert_eq!(peer.some_bytes().await[0], 0x16, "a handshake");
    peer.end_of_file();
    assert!(!server.await.unwrap());
}

/// What a client encrypts that goes its own ways.
struct Sealing {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Sealing {
    /// From here on, the library is not asked.
    fn take_over(client: ClientConnection) -> Self {
        let suite = client.negotiated_cipher_suite();
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let (Some(SupportedCipherSuite::Tls12(suite)), ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = (suite, secrets) else {
            panic!("another suite than the only one")
        };
        Self { encrypter: suite.aead_alg.encrypter(key, iv.as_ref(), &[]), sequence }
    }

    fn seal(&mut self, typ: ContentType, content: &[u8]) -> Vec<u8> {
        let plain = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload: content.into() };
        self.sequence += 1;
        self.encrypter.encrypt(plain, self.sequence - 1).unwrap().encode()
    }
}

/// A client that asks for other keys is told that there are none, and what it says goes on; one that insists is ended.
#[tokio::test(start_paused = true)]
async fn nothing_is_negotiated_again() {
    let only = CryptoProvider { cipher_suites: vec![TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256], ..default_provider() };
    let sides = Sides::new(&TLS12, 2, only, default_provider());
    let broker = Broker::start(&Settings::default());
    let listener = broker.listener("s").await;
    let ((pipe, peer), server, context) = (pipe(), Arc::clone(&sides.server), Arc::clone(&broker.context));
    let served = tokio::spawn(async move {
        let transport = Handshakes::default().accept(pipe, server).await.ok().expect("a handshake");
        serve(transport, JsonLines::default(), context).await;
    });
    let mut client = Encrypted { peer, tls: sides.client() };
    client.shake_hands().await;
    let Encrypted { peer, tls } = client;
    let mut sealing = Sealing::take_over(tls);
    let hello = &old_hello([3, 3], &[])[5..];
    for number in 1..=2 {
        let asks = sealing.seal(ContentType::Handshake, hello);
        let says = sealing.seal(ContentType::ApplicationData, format!("{}\n", put("s", "1")).as_bytes());
        peer.send([asks, says].concat());
        yield_now().await;
        let told = peer.some_bytes().await;
        // An alert alone; and then nothing more.
        assert!(if number == 1 { told[0] == 21 && told.len() == 5 + 2 + 16 } else { told.is_empty() }, "{number}: {told:?}");
        let heard = listener.ping().await;
        assert_eq!(heard, if number == 1 { format!("{}\n", put("s", "1")) } else { String::new() });
    }
    timeout(Duration::from_secs(5), served).await.expect("it is ended").unwrap();
}
