//! listen, put, header, get, close, delete.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::{Broker, ago, assert_fails, object, program, text};

#[test]
fn a_hundred_thousand_lines_arrive_complete_and_in_order() {
    let broker = Broker::start();
    let listening = broker.listen(&["job", "--count", "100001"]);
    let input: String = (0..100_000).map(|number| format!("{{\"k\":{number},\"total\":100000}}\n")).collect();
    let output = broker.with_input(&["put", "job"], input.as_bytes());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (code, lines, said) = listening.end();
    assert_eq!((code, &*said), (Some(0), ""));
    let expected: String = input.lines().map(|line| format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":{line}}}\n")).collect();
    assert!(lines == expected, "{} lines of {}", lines.lines().count(), expected.lines().count());
}

#[test]
fn lines_are_printed_untouched_each_at_once_until_the_end() {
    let broker = Broker::start();
    let mut listening = broker.listen(&["job"]);
    let odd = r#"{ "b":1.10,"a" : 1e400,"a":18446744073709551617,"t":"\u0041\/é" }"#;
    for message in [odd, "null", "\"text\""] {
        broker.ok(&["put", "job", message]);
        // Read before the next is sent: it was not kept until more had come.
        assert_eq!(listening.line(), format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":{message}}}"));
    }
    broker.ok(&["put", "job", "--text", "a \"text\"", "--header", "[1]"]);
    assert_eq!(listening.line(), r#"{"action":"put","stream":"job","message":"a \"text\""}"#);
    broker.ok(&["close", "job", "7"]);
    assert_eq!(listening.end(), (Some(0), "{\"action\":\"close\",\"stream\":\"job\",\"message\":7}\n".to_owned(), String::new()));
    assert_eq!(broker.ok(&["get", "job"]), "[1]\n");
    assert_eq!(text(&broker.output(&["listen", "job"]).stdout).lines().count(), 2, "the header and the end, for who comes later");
}

/// The lines of a stream's messages.
fn lines(stream: &str, messages: &[&str]) -> Vec<String> {
    messages.iter().map(|message| format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":{message}}}")).collect()
}

#[test]
fn the_last_messages_come_behind_the_header_of_each_stream() {
    let broker = Broker::start();
    for stream in ["one", "other"] {
        broker.ok(&["header", stream, "0"]);
        for message in ["1", "2", "3"] {
            broker.ok(&["put", stream, message]);
        }
    }
    let listen = |arguments: &[&str]| broker.ok(&[&["listen", "one"], arguments].concat()).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(listen(&["--last", "2", "--count", "3"]), lines("one", &["0", "2", "3"]));
    assert_eq!(listen(&["--last", "2", "--count", "3", "--json"]), lines("one", &["0", "2", "3"]));
    assert_eq!(listen(&["--last", "2", "--count", "3", "--plain"]), ["0", "2", "3"]);
    assert_eq!(listen(&["--last", "2", "--count", "3", "--format", "{stream} {text}"]), ["one 0", "one 2", "one 3"]);
    assert_eq!(listen(&["--last", "99", "--count", "4"]), lines("one", &["0", "1", "2", "3"]));
    assert_eq!(listen(&["--last", "0", "--count", "1"]), lines("one", &["0"]));
    let both = listen(&["other", "--last", "1", "--count", "4"]);
    for stream in ["one", "other"] {
        let of_it: Vec<_> = both.iter().filter(|line| line.contains(&format!("\"{stream}\""))).cloned().collect();
        assert_eq!(of_it, lines(stream, &["0", "3"]));
    }

    // What follows comes behind them.
    let mut child = broker.command(&["listen", "one", "--last", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(shown.by_ref().take(2).collect::<Vec<_>>(), lines("one", &["0", "3"]));
    broker.ok(&["put", "one", "4"]);
    broker.ok(&["close", "one"]);
    let end = r#"{"action":"close","stream":"one"}"#.to_owned();
    assert_eq!(shown.collect::<Vec<_>>(), [lines("one", &["4"]), vec![end.clone()]].concat());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let late = broker.output(&["listen", "one", "--last", "2"]);
    assert_eq!(text(&late.stdout).lines().collect::<Vec<_>>(), [lines("one", &["0", "3", "4"]), vec![end]].concat());

    assert_fails(&broker.output(&["listen", "one", "--last", "some"]), 64, "write a whole number, such as 100");
    assert_fails(&broker.output(&["listen", "one", "--last", "-1"]), 64, "write a whole number, such as 100");
    assert_fails(&broker.output(&["listen", "one", "--last", "1", "--next"]), 64, "'--next'");
}

/// As `put` writes it. Seen to fail: it was said to be waited for.
#[test]
fn a_stream_without_a_header_that_has_had_messages_has_begun() {
    let broker = Broker::start();
    broker.ok(&["put", "job", "1"]);
    broker.ok(&["put", "job", "2"]);
    assert_eq!(broker.ok(&["listen", "job", "--last", "1", "--count", "1", "--plain"]), "2\n");
    for command in ["listen", "wait"] {
        let late = broker.output(&[command, "job", "--timeout", "1s"]);
        assert_eq!((late.status.code(), text(&late.stderr)), (Some(124), "msgstream: \"job\" has not ended after 1s\n"), "{command}");
    }
}

/// The last messages of a run that is over are part of it: they come before its end, and begin no other.
#[test]
fn a_run_that_is_over_ends_behind_its_last_messages() {
    let broker = Broker::start();
    broker.ok(&["put", "job", &object("Start", r#"{"title":"make all"}"#)]);
    broker.ok(&["put", "job", &object("Log", r#"{"text":"a line"}"#)]);
    broker.ok(&["header", "job", &object("Error", &format!(r#"{{"reason":"no data","ended":"{}"}}"#, ago(3600)))]);
    broker.ok(&["close", "job"]);
    let output = broker.output(&["listen", "job", "--last", "9", "--plain"]);
    let told = "job make all ended 1 h ago: failed: no data (use --next to wait for its next run)";
    let shown: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!((output.status.code(), &shown[shown.len() - 2..]), (Some(1), &["a line", told][..]));
}

// Seen to fail: with the option not passed on.
#[test]
fn with_latest_the_newest_of_what_waits_comes_and_the_rest_is_counted() {
    const MESSAGES: u64 = 100_000;
    let broker = Broker::start();
    let listening = broker.listen(&["job", "--latest"]);
    let lines: Vec<_> = (1..=MESSAGES).map(|number| number.to_string()).collect();
    broker.with_input(&["put", "job"], (lines.join("\n") + "\n").as_bytes());
    broker.ok(&["close", "job"]);
    let (code, rest, _) = listening.end();
    let (mut position, mut skipped) = (0, 0);
    for line in rest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        match line["action"].as_str() {
            Some("skipped") => (position, skipped) = (position + line["messages"].as_u64().unwrap(), skipped + 1),
            Some("put") => {
                position += 1;
                assert_eq!(line["message"].as_u64(), Some(position));
            }
            _ => assert_eq!(line["action"], "close"),
        }
    }
    assert_eq!((code, position), (Some(0), MESSAGES));
    assert!(skipped > 0, "a hundred thousand messages at once, and each was new");
}

#[test]
fn several_streams_at_once() {
    let broker = Broker::start();
    broker.ok(&["header", "other", "0"]);
    let mut listening = broker.listen(&["job", "other", "--json"]);
    assert_eq!(listening.line(), r#"{"action":"put","stream":"other","message":0}"#);
    broker.ok(&["close", "job"]);
    assert_eq!(listening.line(), r#"{"action":"close","stream":"job"}"#);
    broker.ok(&["put", "other", "1"]);
    assert_eq!(listening.line(), r#"{"action":"put","stream":"other","message":1}"#);
    broker.ok(&["delete", "other"]);
    assert_eq!(listening.end().0, Some(0));
}

#[test]
fn what_is_not_json_is_named_with_its_line() {
    let broker = Broker::start();
    let listening = broker.listen(&["job", "--count", "3"]);
    let output = broker.with_input(&["put", "job"], b"{\"k\":1}\n\n  \nhalf done\n{\"k\":NaN}\n\xff\n{\"k\":2}");
    assert_fails(&output, 65, "msgstream: line 4 is not JSON: expected value at column 1\n");
    assert_fails(&output, 65, "msgstream: line 5 is not JSON: ");
    assert_fails(&output, 65, "msgstream: line 6 is not JSON: it is not UTF-8\n");
    assert_fails(&output, 65, "3 of 7 lines were not sent; use --text to send lines as strings");
    let (code, lines, _) = listening.end();
    assert_eq!((code, lines.matches("{\"k\":").count()), (Some(0), 2), "the others were sent: {lines}");

    assert_fails(&broker.output(&["put", "job", "half done"]), 65, "the message is not JSON");
    // --text is for the message, and no cure for the header.
    let output = broker.output(&["put", "job", "1", "--header", "half done"]);
    assert_fails(&output, 65, "msgstream: the header is not JSON: expected value at line 1 column 1; quote it as JSON\n");
    assert_fails(&broker.with_input(&["header", "job"], b"{"), 65, "standard input is not JSON");
}

#[test]
fn text_is_sent_as_strings() {
    let broker = Broker::start();
    let listening = broker.listen(&["job", "--count", "4"]);
    assert_eq!(broker.with_input(&["put", "job", "--text"], "one\r\n\nthe \"third\" é\n".as_bytes()).status.code(), Some(0));
    let messages: String = ["\"one\"", "\"\"", r#""the \"third\" é""#]
        .map(|message| format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":{message}}}\n"))
        .concat();
    assert_eq!(listening.end(), (Some(0), messages, String::new()));
}

#[test]
fn get_prints_the_header_or_says_that_there_is_none() {
    let broker = Broker::start();
    assert_fails(&broker.output(&["get", "job"]), 1, "\"job\" has no header");
    assert_eq!(broker.with_input(&["header", "job"], b" {\"a\": 1.10} \n").status.code(), Some(0));
    assert_eq!(broker.ok(&["get", "job"]), "{\"a\": 1.10}\n");
    broker.ok(&["close", "job"]);
    assert_eq!(broker.ok(&["get", "job"]), "{\"a\": 1.10}\n");
    broker.ok(&["delete", "job"]);
    assert_fails(&broker.output(&["get", "job"]), 1, "\"job\" has no header");
}

#[test]
fn time_limits_and_lost_connections_have_their_exit_codes() {
    let mut broker = Broker::start();
    let output = broker.output(&["listen", "job", "--timeout", "1ms"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(124), ""));

    let listening = broker.listen(&["job"]);
    broker.child.kill().unwrap();
    let (code, lines, said) = listening.end();
    assert_eq!((code, &*lines), (Some(69), ""));
    assert!(said.contains("the connection to the broker was lost"), "{said}");
    let output = broker.output(&["put", "job", "1"]);
    assert_fails(&output, 69, &format!("cannot connect to {}", broker.address));
    assert_fails(&output, 69, "start a broker there with \"msgstream serve\", or name another with --server or MSGSTREAM_SERVER");
}

#[test]
fn what_the_broker_refuses_and_what_cannot_be_understood() {
    let broker = Broker::start();
    assert_fails(&broker.output(&["put", "$sys", "1"]), 77, "the broker refused");
    assert_fails(&broker.output(&["header", "$sys", "1"]), 77, "the broker refused");
    assert_fails(&broker.output(&["put", "", "1"]), 64, "a stream name needs at least one character");
    assert_fails(&program(&["listen", "job", "--server", "http://nowhere"]).output().unwrap(), 64, "there is no \"http\" transport");
    assert_fails(&program(&["listen"]).output().unwrap(), 64, "<STREAM>");
    assert_fails(&program(&["listen", "job", "--timeout", "10"]).output().unwrap(), 64, "not a time");
    for command in ["listen", "wait"] {
        assert_fails(&broker.output(&[command, "job", "--timeout", "0"]), 64, "a time limit of 0 is too short");
    }
    for count in ["-1", "many"] {
        assert_fails(&program(&["listen", "job", "--count", count]).output().unwrap(), 64, "write a whole number, such as 100");
    }
}

/// As `MSGSTREAM_SERVER=` in a file of settings leaves it, and as the Python client takes it.
#[test]
fn a_server_that_is_empty_in_the_environment_is_not_given() {
    let output = program(&["put", "--help"]).env("MSGSTREAM_SERVER", "").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    // Whether a broker is there or not, the address is understood.
    let output = program(&["put", "job", "not JSON"]).env("MSGSTREAM_SERVER", "").output().unwrap();
    assert_fails(&output, 65, "the message is not JSON");
    let output = program(&["put", "job", "1", "--server", ""]).output().unwrap();
    assert_fails(&output, 64, "the host is missing");
}

#[test]
fn what_is_no_broker_is_named() {
    let imposter = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = imposter.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        let (mut socket, _) = imposter.accept().unwrap();
        socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        // Held open until the program has had enough.
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    });
    assert_fails(&program(&["listen", "job", "--server", &address]).output().unwrap(), 69, "is not a msgstream broker");
    answering.join().unwrap();
}

/// Whatever listens on a broker's port can say what it likes.
#[test]
fn the_reason_of_a_broker_does_not_control_the_terminal() {
    let imposter = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = imposter.local_addr().unwrap().to_string();
    let commands = [&["listen", "job"][..], &["wait", "job"], &["listen", "--prefix", "j"], &["get", "job"]];
    let answering = std::thread::spawn(move || {
        for _ in commands {
            let (mut socket, _) = imposter.accept().unwrap();
            socket.write_all(b"{\"action\":\"close\",\"message\":{\"code\":\"shutdown\",\"reason\":\"\\u001b[2Jgone\"}}\n").unwrap();
            let _ = std::io::copy(&mut socket, &mut std::io::sink());
        }
    });
    for command in commands {
        let output = program(command).args(["--server", &address]).output().unwrap();
        assert_fails(&output, 69, "␛[2Jgone (shutdown)");
        assert!(!text(&output.stderr).trim_end().contains(char::is_control));
    }
    answering.join().unwrap();
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let broker = Broker::start();
    let mut listening = broker.listen(&["job"]);
    // The reading end of its standard output closes.
    let end = std::mem::replace(&mut listening.lines, std::io::BufReader::new(other_stdout()));
    drop(end);
    broker.ok(&["put", "job", "1"]);
    assert_eq!(listening.child.wait().unwrap().code(), Some(0));
}

/// As in `listen job --plain | less`: a pager does not read on.
#[test]
fn ctrl_c_ends_listen_though_nobody_reads_its_lines() {
    let broker = Broker::start();
    let mut child = broker.command(&["listen", "job", "--plain"]).stdout(Stdio::piped()).spawn().unwrap();
    broker.until_joined("job");
    assert_eq!(broker.with_input(&["put", "job", "--text"], "a line\n".repeat(100_000).as_bytes()).status.code(), Some(0));
    let held = child.stdout.take().unwrap();
    // Full but for what a line does not fill of each page.
    while rustix::io::ioctl_fionread(&held).unwrap() < 60 << 10 {
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(2));
}

fn other_stdout() -> std::process::ChildStdout {
    let mut child = program(&["--version"]).stdout(Stdio::piped()).spawn().unwrap();
    child.wait().unwrap();
    child.stdout.take().unwrap()
}

/// A full disk is not a success: the file would be empty and nobody the wiser.
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "1"]);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&["get", "job"][..], &["completions", "bash"], &["listen", "job", "--timeout", "1s"], &["serve", "--check"]] {
        let output = broker.command(arguments).stdout(full()).output().unwrap();
        assert_fails(&output, 74, "cannot write to standard output: No space left on device");
    }
}

#[test]
fn negative_numbers_are_messages() {
    let broker = Broker::start();
    let mut listening = broker.listen(&["job"]);
    for message in ["-5", "-1.5e3"] {
        broker.ok(&["put", "job", message]);
        assert_eq!(listening.line(), format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":{message}}}"));
    }
    broker.ok(&["header", "job", "-7"]);
    assert_eq!(broker.ok(&["get", "job"]), "-7\n");
    broker.ok(&["close", "job", "-1"]);
    assert_eq!(listening.line(), "{\"action\":\"close\",\"stream\":\"job\",\"message\":-1}");
}

#[test]
fn input_that_cannot_be_read_says_so() {
    let broker = Broker::start();
    assert_fails(&broker.with_input(&["header", "job"], b"\xff"), 65, "standard input is not UTF-8");
    assert_fails(&broker.with_input(&["header", "job"], b""), 65, "standard input is empty");
    let directory = || std::fs::File::open("/").unwrap();
    for command in ["put", "header"] {
        let output = broker.command(&[command, "job"]).stdin(directory()).output().unwrap();
        assert_fails(&output, 74, "cannot read standard input: Is a directory");
    }
}

/// The time limit is one for connecting, too, should the broker's machine not answer.
#[test]
fn the_time_limit_counts_for_connecting_as_well() {
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    // The one connection that may wait to be accepted; the next gets no answer.
    let _first = std::net::TcpStream::connect(address).unwrap();
    for command in ["wait", "listen"] {
        let output = program(&[command, "job", "--timeout", "100ms", "--server", &address.to_string()]).output().unwrap();
        assert_fails(&output, 69, "no answer within 100ms");
    }
}

/// Many refusals in a row end the connection, and are refusals still.
#[test]
fn lines_that_the_broker_refuses_are_refused_however_many() {
    let broker = Broker::start();
    for count in [1, 1000, 100_000] {
        assert_fails(&broker.with_input(&["put", "$sys"], "1\n".repeat(count).as_bytes()), 77, "the broker refused");
    }
}

#[test]
fn a_stream_that_is_named_twice_is_shown_once() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "1"]);
    broker.ok(&["close", "job"]);
    assert_eq!(text(&broker.output(&["listen", "job", "job"]).stdout).lines().count(), 2);
}
