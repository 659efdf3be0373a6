//! Encrypted connections of the library's client: whom it believes, what it says when it does not, and certificates that change meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use msgstream::broker::{Address, Certificates, ClientCertificates, Limits, Server, Settings, Stats, TlsSettings};
use msgstream::client::{ClientError, Event, Options, RemoteStream, ServerAddress, ServerAddresses, TlsOptions};
use msgstream::units::Span;
use std::sync::Arc;
use tokio::time::timeout;

use super::certificates::{Authority, Files};

/// A folder of one test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("msgstream-tls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A broker in this runtime.
struct Encrypted {
    socket: SocketAddr,
    certificates: Certificates,
    stats: Arc<Stats>,
}

impl Encrypted {
    fn start(tls: TlsSettings) -> Self {
        Self::start_with(Settings::default().tls(tls))
    }

    fn start_with(settings: Settings) -> Self {
        let server = Server::bind(&["tls://127.0.0.1:0".parse().unwrap()], &settings).unwrap();
        let Address::Tls(socket) = server.addresses()[0] else { panic!("a TLS address") };
        let (certificates, stats) = (server.certificates().unwrap(), server.stats());
        tokio::spawn(server.run(std::future::pending(), std::future::pending()));
        Self { socket, certificates, stats }
    }

    fn address(&self, host: &str) -> ServerAddresses {
        format!("tls://{host}:{}", self.socket.port()).parse().unwrap()
    }
}

fn shown(files: &Files) -> TlsSettings {
    TlsSettings::default().certificate(files.certificate.clone()).key(files.key.clone())
}

fn trusting(ca: &Path) -> Options {
    Options::default().tls(TlsOptions::default().ca(ca.to_owned())).connect_time(Duration::from_secs(30))
}

/// Why there is no connection, or why it is of no use.
async fn refusal(address: ServerAddresses, options: Options) -> String {
    match RemoteStream::connect_with(address, options).await {
        Err(error) => error.to_string(),
        // In TLS 1.3 a client learns only then what the broker thinks of its certificate.
        Ok(remote) => remote.flush().await.unwrap_err().to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trusts_the_authority_is_served() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let broker = Encrypted::start(shown(&authority.local().write(&folder.0, "broker")));
    let options = trusting(&folder.write("ca.pem", &authority.pem()));
    for host in ["localhost", "127.0.0.1"] {
        let remote = RemoteStream::connect_with(broker.address(host), options.clone()).await.unwrap();
        let mut listener = remote.listen("job").await.unwrap();
        let long = "x".repeat(1 << 20);
        remote.put("job", &long).await.unwrap();
        remote.flush().await.unwrap();
        let Some(Event::Message(content)) = listener.next().await else { panic!("a message") };
        assert!(content.to_string() == format!("\"{long}\""));
        remote.disconnect().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reason_not_to_trust_is_told_with_its_cure() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let ca = folder.write("ca.pem", &authority.pem());
    let here = ["localhost", "127.0.0.1"];
    for (issued, told) in [
        (authority.expired(&here), "the broker's certificate has expired"),
        (authority.for_hosts(&["broker.example"]), "the broker's certificate is not for \"localhost\" but for broker.example"),
        (Authority::new().local(), "signed by an authority that is not known here; name the file of that authority (--ca"),
    ] {
        let broker = Encrypted::start(shown(&issued.write(&folder.0, "broker")));
        let reason = refusal(broker.address("localhost"), trusting(&ca)).await;
        assert!(reason.contains(told), "{reason}");
    }
    // The system does not know it either.
    let broker = Encrypted::start(shown(&authority.local().write(&folder.0, "broker")));
    let reason = refusal(broker.address("localhost"), Options::default()).await;
    assert!(reason.contains("--ca"), "{reason}");
    let nothing = trusting(&folder.0.join("nothing.pem"));
    let reason = refusal(broker.address("localhost"), nothing).await;
    assert!(reason.contains("nothing.pem (--ca, TlsOptions::ca): ") && reason.contains("check the path"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_side_without_tls_is_told_to_both() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let ca = folder.write("ca.pem", &authority.pem());
    // A plain broker on a tls:// address.
    let plain = Server::bind(&["127.0.0.1:0".parse().unwrap()], &Settings::default()).unwrap();
    let Address::Tcp(socket) = plain.addresses()[0] else { panic!("a TCP address") };
    tokio::spawn(plain.run(std::future::pending(), std::future::pending()));
    let reason = refusal(format!("tls://localhost:{}", socket.port()).parse().unwrap(), trusting(&ca)).await;
    assert!(reason.contains("no TLS is spoken there; leave tls:// out"), "{reason}");
    // A plain client on the address of one with TLS.
    let broker = Encrypted::start(shown(&authority.local().write(&folder.0, "broker")));
    let reason = refusal(ServerAddress::Tcp(broker.socket.to_string()).into(), Options::default()).await;
    assert!(reason.contains("this address speaks TLS; connect to it with tls://"), "{reason}");
    until_failed(&broker, 1).await;
    // Something that hangs up at once.
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = rude.local_addr().unwrap().port();
    thread::spawn(move || rude.accept().map(|(mut socket, _)| socket.read(&mut [0; 1])));
    let reason = refusal(format!("tls://localhost:{port}").parse().unwrap(), trusting(&ca)).await;
    assert!(reason.contains("does a broker speak TLS there?") || reason.contains("reset"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_shows_its_certificate_where_it_must() {
    let (folder, authority, clients) = (Folder::new(), Authority::new(), Authority::new());
    let ca = folder.write("ca.pem", &authority.pem());
    let client_ca = folder.write("clients.pem", &clients.pem());
    let files = authority.local().write(&folder.0, "broker");
    let tls = |asked| shown(&files).client_ca(client_ca.clone()).client_certificates(asked);
    let known = clients.for_client("alice").write(&folder.0, "alice");
    let stranger = authority.for_client("mallory").write(&folder.0, "mallory");
    let showing = |files: &Files| {
        let tls = TlsOptions::default().ca(ca.clone()).certificate(files.certificate.clone()).key(files.key.clone());
        Options::default().tls(tls)
    };
    for (asked, anonymous) in [(ClientCertificates::Optional, true), (ClientCertificates::Required, false)] {
        let broker = Encrypted::start(tls(asked));
        let address = broker.address("localhost");
        let remote = RemoteStream::connect_with(address.clone(), showing(&known)).await.unwrap();
        remote.flush().await.unwrap();
        let reason = refusal(address.clone(), showing(&stranger)).await;
        assert!(reason.contains("the broker does not know the authority that has signed this client's certificate"), "{asked:?}: {reason}");
        if anonymous {
            RemoteStream::connect_with(address, trusting(&ca)).await.unwrap().flush().await.unwrap();
        } else {
            let reason = refusal(address, trusting(&ca)).await;
            assert!(reason.contains("the broker wants a certificate of this client; name its file (--certificate"), "{reason}");
        }
    }
    let mut only_key = TlsOptions::default().key(known.key.clone());
    only_key.ca = Some(ca.clone());
    let broker = Encrypted::start(tls(ClientCertificates::Optional));
    let reason = refusal(broker.address("localhost"), Options::default().tls(only_key)).await;
    assert!(reason.contains("there is no certificate to go with the key"), "{reason}");
}

/// Certificates are exchanged a hundred times, some of them for what is none, while clients publish, listen and come anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_and_nothing_is_lost() {
    const CHANGES: usize = 100;
    let (folder, authority) = (Folder::new(), Authority::new());
    let files = authority.local().write(&folder.0, "broker");
    let broker = Encrypted::start(shown(&files));
    let options = trusting(&folder.write("ca.pem", &authority.pem()));
    let publisher = RemoteStream::connect_with(broker.address("localhost"), options.clone()).await.unwrap();
    let listening = RemoteStream::connect_with(broker.address("localhost"), options.clone()).await.unwrap();
    let mut listener = listening.listen("job").await.unwrap();
    assert!(listener.joined().await.is_some());
    let mut sent = 0_u32;
    for change in 0..CHANGES {
        if change % 10 == 5 {
            std::fs::write(&files.key, "no key").unwrap();
            let error = broker.certificates.reload().unwrap_err().to_string();
            assert!(error.contains("broker-key.pem (tls.key): there is no private key in it"), "{error}");
        } else {
            authority.local().write(&folder.0, "broker");
            broker.certificates.reload().unwrap();
        }
        for _ in 0..20 {
            publisher.put("job", &sent).await.unwrap();
            sent += 1;
        }
        // With the newest, or the one before.
        let newcomer = RemoteStream::connect_with(broker.address("localhost"), options.clone()).await.unwrap();
        newcomer.flush().await.unwrap();
    }
    publisher.flush().await.unwrap();
    for expected in 0..sent {
        let event = timeout(Duration::from_secs(30), listener.next()).await.unwrap();
        assert!(matches!(&event, Some(Event::Message(content)) if content.to_string() == expected.to_string()), "{expected}: {event:?}");
    }
    // The broker shows what was written last: whoever trusts another authority's only sees that.
    let other = Authority::new();
    other.local().write(&folder.0, "broker");
    broker.certificates.reload().unwrap();
    let reason = refusal(broker.address("localhost"), options).await;
    assert!(reason.contains("not known here"), "{reason}");
    RemoteStream::connect_with(broker.address("localhost"), trusting(&folder.write("other.pem", &other.pem()))).await.unwrap();
}

// Seen to fail: without the look at the files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_is_noticed() {
    let (folder, authority, other) = (Folder::new(), Authority::new(), Authority::new());
    let broker = Encrypted::start(shown(&authority.local().write(&folder.0, "broker")));
    let options = trusting(&folder.write("ca.pem", &other.pem()));
    other.local().write(&folder.0, "broker");
    let noticed = async {
        while let Err(error) = RemoteStream::connect_with(broker.address("localhost"), options.clone()).await {
            assert!(matches!(&error, ClientError::Connect { reason, .. } if reason.contains("not known here")), "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), noticed).await.expect("it is noticed");
}

/// The bytes that a client begins with.
fn hello() -> Vec<u8> {
    use rustls::crypto::aws_lc_rs;
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let mut client = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Waits until so many handshakes have failed.
async fn until_failed(broker: &Encrypted, count: u64) {
    let all = async {
        while broker.stats.snapshot().handshakes_failed < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(Duration::from_secs(60), all).await;
    assert!(waited.is_ok(), "of {count} handshakes that end early {:?} failed", broker.stats.snapshot());
}

/// Cut off at each byte, changed at each byte, or followed by something else: each costs its own connection, and is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_breaks_off_costs_nobody_else() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let broker = Encrypted::start(shown(&authority.local().write(&folder.0, "broker")));
    let options = trusting(&folder.write("ca.pem", &authority.pem()));
    let remote = RemoteStream::connect_with(broker.address("localhost"), options).await.unwrap();
    let hello = hello();
    let mut all: Vec<Vec<u8>> = (1..=hello.len()).map(|length| hello[..length].to_vec()).collect();
    for at in 0..hello.len() {
        let mut changed = hello.clone();
        changed[at] ^= 0xff;
        all.push(changed);
    }
    all.push([&hello[..], &[0x16, 3, 3, 0xff, 0xff], &[0; 5000]].concat());
    all.push([&hello[..], &hello[..]].concat());
    all.push(vec![0x16; 100_000]);
    all.push(b"GET / HTTP/1.1\r\n\r\n".to_vec());
    let count = all.len() as u64;
    let socket = broker.socket;
    let knocking = thread::spawn(move || {
        for bytes in all {
            let mut client = TcpStream::connect(socket).unwrap();
            // It may be turned away before it has said all.
            let _ = client.write_all(&bytes);
            let _ = client.shutdown(std::net::Shutdown::Write);
            let _ = client.read_to_end(&mut Vec::new());
        }
    });
    while !knocking.is_finished() {
        remote.flush().await.unwrap();
    }
    knocking.join().unwrap();
    until_failed(&broker, count).await;
    remote.flush().await.unwrap();
    assert_eq!(broker.stats.snapshot().connections_opened, 1, "none of them was a connection");
}

// Seen to fail: without a limit on the time of a handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_takes_too_long_is_given_up() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let tls = shown(&authority.local().write(&folder.0, "broker"));
    let limits = Limits::default().first_line_time(Span(Duration::from_millis(200)));
    let broker = Encrypted::start_with(Settings::default().tls(tls).limits(limits));
    let hello = hello();
    let mut slow = Vec::new();
    for length in [0, 1, 5, 100, hello.len()] {
        let mut client = TcpStream::connect(broker.socket).unwrap();
        client.write_all(&hello[..length]).unwrap();
        slow.push(client);
    }
    until_failed(&broker, slow.len() as u64).await;
    for client in &mut slow {
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // An end or a reset, after the broker's half of the handshake if it came to that.
        let read = client.read_to_end(&mut Vec::new());
        assert!(!read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "it stays open");
    }
}
