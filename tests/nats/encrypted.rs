//! A server that is only talked to with TLS.

use std::fs;

use msgstream::broker::NodesSettings;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::node::Node;
use crate::server::Server;

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_alone() {
    let folder = std::env::temp_dir().join(format!("msgstream-nats-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let authority = |name: &str| {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(folder.join(name), params.self_signed(&key).unwrap().pem()).unwrap();
        Issuer::new(params, key)
    };
    let (issuer, _) = (authority("ca.pem"), authority("other.pem"));
    let key = KeyPair::generate().unwrap();
    let own = |names: [&str; 1]| CertificateParams::new(names.map(str::to_owned)).unwrap().signed_by(&key, &issuer).unwrap().pem();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::write(file("server.pem"), own(["127.0.0.1"])).unwrap();
    fs::write(file("node.pem"), own(["node"])).unwrap();
    fs::write(file("key.pem"), key.serialize_pem()).unwrap();
    let options = ["--tlsverify", "--tlscacert", &file("ca.pem"), "--tlscert", &file("server.pem"), "--tlskey", &file("key.pem")];
    let Some(server) = Server::with(&options) else { return };
    let settings = |address: String, ca: &str| {
        NodesSettings::on([address]).ca(folder.join(ca)).certificate(folder.join("node.pem")).key(folder.join("key.pem"))
    };
    for address in [server.address(), server.address().replace("nats:", "tls:")] {
        Node::begun(&settings(address.clone(), "ca.pem")).await.say("a record").await;
        let reason = Node::on(&settings(address, "other.pem")).is_away().await;
        assert!(reason.contains("nodes.ca"), "{reason}");
    }
    // Whoever names an authority is not talked to in clear.
    let plain = Server::start().unwrap();
    Node::begun(&NodesSettings::on([plain.address()])).await;
    Node::on(&settings(plain.address(), "ca.pem")).is_away().await;
    fs::remove_dir_all(folder).unwrap();
}
