//! The broker inside a program, and listeners in both encodings over TCP.

use msgstream::broker::Settings;
use msgstream::local::MessageStream;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

fn framed(value: &Value) -> Vec<u8> {
    let body = rmp_serde::to_vec(value).unwrap();
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

async fn event(socket: &mut TcpStream) -> Value {
    let length = socket.read_u32().await.unwrap();
    let mut body = vec![0; length as usize];
    socket.read_exact(&mut body).await.unwrap();
    rmp_serde::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_publisher_in_the_program_reaches_listeners_in_both_encodings_alike() {
    let broker = MessageStream::new();
    let listen = ["127.0.0.1:0".parse().unwrap(), "msgpack+tcp://127.0.0.1:0".parse().unwrap()];
    let server = broker.serve(&listen, &Settings::default()).unwrap();
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    broker.header("job", &json!({"k": 0, "name": "fit"})).await.unwrap();

    let listen = json!({"action": "listen", "stream": "job", "receipt": 1});
    let mut lines = connect(&addresses[0]).await;
    lines.write_all(format!("{listen}\n").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(lines).lines();
    let mut packed = connect(addresses[1].trim_start_matches("msgpack+tcp://")).await;
    packed.write_all(&framed(&listen)).await.unwrap();
    let header = json!({"action": "put", "stream": "job", "message": {"k": 0, "name": "fit"}});
    let joined = json!({"action": "receipt", "receipt": 1, "state": "running"});
    for expected in [&header, &joined] {
        let line = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        for mut told in [line, event(&mut packed).await] {
            if let Value::Object(members) = &mut told {
                members.retain(|key, _| !["age", "position"].contains(&&**key));
            }
            assert_eq!(told, *expected);
        }
    }

    let content =
        [json!(null), json!(true), json!(-1), json!(u64::MAX), json!(0.1), json!("é\n\"x\""), json!([1, [], {"a": {"b": [null, 2.5]}}])];
    for number in 0..300 {
        let message = json!([number, content[number % content.len()]]);
        if number % 50 == 0 {
            assert_eq!(broker.put_with_header("job", &message, &number).await.unwrap().listeners, Some(2));
        } else {
            broker.put("job", &message).await.unwrap();
        }
    }
    broker.close_with("job", &json!({"result": 1.5})).await.unwrap();
    for number in 0..300 {
        let expected = json!({"action": "put", "stream": "job", "message": [number, content[number % content.len()]]});
        assert_eq!(serde_json::from_str::<Value>(&lines.next_line().await.unwrap().unwrap()).unwrap(), expected);
        assert_eq!(event(&mut packed).await, expected);
    }
    let closed = json!({"action": "close", "stream": "job", "message": {"result": 1.5}});
    assert_eq!(serde_json::from_str::<Value>(&lines.next_line().await.unwrap().unwrap()).unwrap(), closed);
    assert_eq!(event(&mut packed).await, closed);
}

/// What is told to all who join a new stream is encoded once, and in the encoding of each.
#[tokio::test]
async fn a_new_stream_is_announced_to_each_listener_in_its_own_encoding() {
    let broker = MessageStream::new();
    let listen = ["127.0.0.1:0".parse().unwrap(), "msgpack+tcp://127.0.0.1:0".parse().unwrap()];
    let server = broker.serve(&listen, &Settings::default()).unwrap();
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    let listen = json!({"action": "listen", "prefix": "job", "receipt": 1});
    let (mut lines, mut packed) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut socket = connect(&addresses[0]).await;
        socket.write_all(format!("{listen}\n").as_bytes()).await.unwrap();
        let mut socket = BufReader::new(socket).lines();
        assert!(socket.next_line().await.unwrap().unwrap().contains("\"streams\":0"));
        lines.push(socket);
        let mut socket = connect(addresses[1].trim_start_matches("msgpack+tcp://")).await;
        socket.write_all(&framed(&listen)).await.unwrap();
        assert_eq!(event(&mut socket).await["streams"], 0);
        packed.push(socket);
    }
    broker.header("job-1", &json!([1])).await.unwrap();
    let mut told = Vec::new();
    for (lines, packed) in lines.iter_mut().zip(&mut packed) {
        for _ in 0..2 {
            told.push(serde_json::from_str::<Value>(&lines.next_line().await.unwrap().unwrap()).unwrap());
            told.push(event(packed).await);
        }
    }
    // A number of no seconds is written in two ways.
    for event in told.iter_mut().filter_map(|event| event.as_object_mut()) {
        event.remove("age");
    }
    assert_eq!(told[0], json!({"action": "put", "stream": "job-1", "message": [1]}));
    assert!(told[2]["action"] == "joined" && told[2]["stream"] == "job-1" && told[2]["position"]["sequence"] == 0, "{}", told[2]);
    for (index, event) in told.iter().enumerate() {
        assert_eq!(*event, told[index / 2 % 2 * 2], "{index}");
    }
}
