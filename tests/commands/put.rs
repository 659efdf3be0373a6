//! The lines of standard input, and a broker that is not there, goes, comes back, or takes nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, ChildStdin, Stdio};
use std::thread::JoinHandle;

use msgstream::client::Event;

use crate::{Broker, assert_fails, program};

/// A running `msgstream put job`, whose standard input is a job that we are.
struct Putting {
    child: Child,
    input: ChildStdin,
    said: BufReader<ChildStderr>,
}

impl Putting {
    fn start(address: SocketAddr, more: &[&str]) -> Self {
        let mut command = program(&["put", "job", "--server", &address.to_string()]);
        let mut child = command.args(more).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (input, said) = (child.stdin.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
        Self { child, input, said }
    }

    /// Waits until it says something with this in it.
    #[track_caller]
    fn says(&mut self, part: &str) -> String {
        let (mut line, mut all) = (String::new(), String::new());
        loop {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "{part:?} is not in: {all}");
            all.push_str(&line);
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The exit code, and what else it said.
    fn end(self) -> (Option<i32>, String) {
        let Self { mut child, input, mut said } = self;
        drop(input);
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        (child.wait().unwrap().code(), rest)
    }
}

/// A peer that takes everything and confirms it, as a broker does.
fn confirming(socket: TcpStream) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let (mut writing, mut taken) = (socket.try_clone().unwrap(), Vec::new());
        for line in BufReader::new(socket).lines() {
            let line = line.unwrap();
            if line.contains("\"action\":\"ping\"") {
                writeln!(writing, "{}", line.replace("ping", "pong")).unwrap();
            } else if let Some(rest) = line.strip_prefix("{\"action\":\"session\",") {
                writeln!(writing, "{{\"action\":\"session\",\"known\":false,\"taken\":0,{rest}").unwrap();
            } else if line.contains("\"action\":\"listen\"") {
                let receipt = line.split_once("\"receipt\":").unwrap().1;
                writeln!(writing, "{{\"action\":\"receipt\",\"state\":\"running\",\"receipt\":{receipt}").unwrap();
            } else if !["close\"}", "hangup"].iter().any(|own| line.starts_with(&format!("{{\"action\":\"{own}"))) {
                taken.push(line);
            }
        }
        taken
    })
}

fn put(message: &str) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":{message}}}")
}

/// The job writes far more than is kept while the broker is away. It is never held up; what was kept arrives behind one word
/// about what was not, and the exit code says that something is missing.
#[test]
fn a_job_never_dies_of_the_broker_and_what_is_lost_is_told() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let mut putting = Putting::start(address, &[]);
    let (first, _) = peer.accept().unwrap();
    writeln!(putting.input, "0").unwrap();
    let mut line = String::new();
    BufReader::new(&first).read_line(&mut line).unwrap();
    drop((peer, first));
    let said = putting.says("still reading, and trying again");
    assert!(said.starts_with("msgstream: "), "{said}");

    let padding = "x".repeat(1000);
    const LINES: usize = 40_000;
    let input: String = (1..=LINES).map(|number| format!("[{number},\"{padding}\"]\n")).collect();
    putting.input.write_all(input.as_bytes()).unwrap();

    let taking = confirming(TcpListener::bind(address).unwrap().accept().unwrap().0);
    putting.says("connected to the broker");
    let lost = putting.says("lines were lost");
    let lost: usize = lost.split(' ').nth(1).unwrap().parse().unwrap();
    let (code, said) = putting.end();
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains(&format!("{lost} of {} lines were lost: the broker did not take them in time", LINES + 1)), "{said}");

    let taken = taking.join().unwrap();
    let gap = taken.iter().position(|line| line.contains("monitor.Log")).unwrap();
    assert!(taken[gap].contains(&format!("\"lines\":{lost}}}")), "{}", taken[gap]);
    let numbers: Vec<usize> = taken.iter().filter_map(|line| line.split_once("\"message\":[")?.1.split(',').next()?.parse().ok()).collect();
    // The first line has no number.
    assert_eq!(numbers.len(), LINES + 1 - lost);
    let (before, after) = numbers.split_at(numbers.iter().zip(1..).take_while(|(number, expected)| *number == expected).count());
    assert!(before.iter().copied().eq(1..=before.len()), "the first lines are whole");
    assert!(after.iter().copied().eq(LINES + 1 - after.len()..=LINES), "the last lines are whole");
    let kept: usize = taken.iter().map(String::len).sum();
    assert!((15 << 20..24 << 20).contains(&kept), "{kept} bytes were kept");
}

#[test]
fn a_broker_that_comes_late_or_goes_for_a_while_costs_nothing() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    drop(peer);
    let mut putting = Putting::start(address, &["--text"]);
    writeln!(putting.input, "one").unwrap();
    putting.says(&format!("cannot connect to {address}"));
    writeln!(putting.input, "two").unwrap();
    let taking = confirming(TcpListener::bind(address).unwrap().accept().unwrap().0);
    putting.says("connected to the broker");
    assert_eq!(putting.end(), (Some(0), String::new()));
    assert_eq!(taking.join().unwrap(), [put("\"one\""), put("\"two\"")]);
}

#[test]
fn without_a_broker_the_input_is_read_to_its_end_and_then_given_up() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut putting = Putting::start(address, &[]);
    putting.input.write_all(b"1\n2\nnot JSON\n").unwrap();
    let (code, said) = putting.end();
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("2 may be") || said.contains("2 of 3 lines were lost"), "{said}");
    assert_eq!(said.matches("cannot connect").count(), 2, "once at first and once at the end: {said}");
    // Nothing to be lost.
    assert_eq!(Putting::start(address, &[]).end().0, Some(0));
}

/// What the broker will never take: the job goes on all the same.
#[test]
fn a_refusal_is_told_at_the_end_and_the_job_goes_on() {
    let broker = Broker::start();
    let mut putting = Putting::start(broker.address.parse().unwrap(), &["--text"]);
    putting.input.write_all("a line\n".repeat(100_000).as_bytes()).unwrap();
    assert_eq!(putting.end(), (Some(0), String::new()));

    let output = broker.with_input(&["put", "$job", "--text"], "a line\n".repeat(100_000).as_bytes());
    assert_fails(&output, 77, "the broker refused");
}

#[test]
fn strict_ends_with_the_broker() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let mut putting = Putting::start(address, &["--strict"]);
    drop((peer.accept().unwrap(), peer));
    // Its input is open still.
    putting.says("the connection to the broker was lost");
    assert_eq!(putting.child.wait().unwrap().code(), Some(69));
    let putting = Putting::start(address, &["--strict"]);
    let (code, said) = putting.end();
    assert_eq!(code, Some(69), "{said}");
}

/// As `run` publishes them.
#[test]
fn text_that_is_not_utf8_is_sent_as_well_as_it_can_be() {
    let broker = Broker::start();
    let listening = broker.listen(&["job", "--count", "3"]);
    assert_eq!(broker.with_input(&["put", "job", "--text"], b"caf\xe9.txt\nplain\n").status.code(), Some(0));
    let (_, lines, _) = listening.end();
    assert_eq!(lines, format!("{}\n{}\n", put("\"caf\u{fffd}.txt\""), put("\"plain\"")));
}

/// A line that never ends is refused while it comes, and not kept.
#[test]
fn an_endless_line_is_refused_with_its_number() {
    let broker = Broker::start();
    let listening = broker.listen(&["job", "--count", "3"]);
    let mut putting = Putting::start(broker.address.parse().unwrap(), &[]);
    putting.input.write_all(b"1\n").unwrap();
    let block = vec![b'7'; 1 << 20];
    for _ in 0..17 {
        putting.input.write_all(&block).unwrap();
    }
    // It has not ended yet.
    putting.says("line 2 is longer than 16MiB");
    for _ in 0..48 {
        putting.input.write_all(&block).unwrap();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", putting.child.id())).unwrap();
    let most =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok()).unwrap();
    assert!(most < 80 << 10, "{most} KiB");
    putting.input.write_all(b"\n3\n").unwrap();
    let (code, said) = putting.end();
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("1 of 3 lines were not sent"), "{said}");
    assert_eq!(listening.end().1, format!("{}\n{}\n", put("1"), put("3")));
}

/// What is fed by a program that dies with its machine is not on for ever, and says so.
#[test]
fn a_put_that_is_killed_is_lost_unless_the_stream_is_a_jobs() {
    let broker = Broker::impatient("200ms");
    broker.ok(&["header", "job", "\"a job's\""]);
    let waiting = broker.command(&["wait", "own"]).stderr(Stdio::piped()).spawn().unwrap();
    broker.until_joined("own");
    for stream in ["job", "own"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut put = broker.command(&["put", stream, "--text"]).stdin(Stdio::piped()).spawn().unwrap();
        runtime.block_on(async {
            let remote = msgstream::client::RemoteStream::connect(&broker.address).await.unwrap();
            let mut listener = remote.listen(stream).await.unwrap();
            listener.joined().await.unwrap();
            writeln!(put.stdin.as_mut().unwrap(), "a line").unwrap();
            while !matches!(listener.next().await.unwrap(), Event::Message(message) if message == "\"a line\"") {}
        });
        put.kill().unwrap();
        put.wait().unwrap();
    }
    assert_fails(&waiting.wait_with_output().unwrap(), 3, "own: lost");
    // It would have been lost before.
    assert_eq!(broker.ok(&["get", "job"]), "\"a job's\"\n");
    let late = broker.output(&["wait", "job", "--timeout", "1ms"]);
    assert_eq!(late.status.code(), Some(124));
}
