//! Which broker the commands talk to.

use crate::{Broker, assert_fails, program};

/// The forms of an address that lead to the same broker.
#[test]
fn a_server_is_named_in_any_form() {
    let broker = Broker::start();
    let port = broker.address.rsplit_once(':').unwrap().1;
    for server in [format!("127.0.0.1:{port}"), format!("tcp://127.0.0.1:{port}"), format!("localhost:{port}")] {
        broker.ok(&["put", "job", "1", "--server", &server]);
    }
    // Whether a broker is there or not, the address is understood.
    for (server, meant) in [("localhost", "localhost:7342"), ("tcp://127.0.0.2", "127.0.0.2:7342"), ("::1", "[::1]:7342")] {
        let output = program(&["put", "job", "not JSON", "--server", server]).output().unwrap();
        assert_fails(&output, 65, "the message is not JSON");
        assert_eq!(server.parse::<msgstream::client::ServerAddress>().unwrap().to_string(), meant);
    }
}

/// The option counts more than the variable, and that more than the user's file.
#[test]
fn the_broker_may_stand_in_a_file_of_the_user() {
    let broker = Broker::start();
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("home-{}", std::process::id()));
    let file = home.join("msgstream/client.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let put = |text: &str, variable: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut command = program(&["put", "job", "1"]);
        command.args(more).env("XDG_CONFIG_HOME", &home).env("MSGSTREAM_SERVER", variable).output().unwrap()
    };
    let right = format!("# ours\nserver = \"{}\"\n", broker.address);
    assert_eq!(put(&right, "", &[]).status.code(), Some(0));
    assert_eq!(put("server = 'unix:/nobody'", &broker.address, &[]).status.code(), Some(0));
    assert_eq!(put("server = 'unix:/nobody'", "unix:/nobody", &["--server", &broker.address]).status.code(), Some(0));
    assert_fails(&put("server = 'unix:/nobody'", "", &[]), 69, "cannot connect to unix:/nobody");
    let name = file.display().to_string();
    assert_fails(
        &put("\nsever = 'x'", "", &[]),
        78,
        &format!("msgstream: {name}, line 2: unknown key \"sever\"; did you mean \"server\"?"),
    );
    assert_fails(&put("server = 'http://x'", "", &[]), 78, &format!("{name}, line 1: \"http://x\" is not the address of a broker"));
    assert_fails(&put(&format!("{right}ca = 'ca.pem'"), "", &[]), 78, &format!("{name}, line 3: \"ca\" is not an absolute path"));
    // It is not read where it does not count.
    assert_eq!(put("[", "", &["--server", &broker.address]).status.code(), Some(0));
    std::fs::remove_dir_all(home).unwrap();
}
