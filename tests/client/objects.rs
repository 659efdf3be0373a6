//! Typed content from one program to another.

use msgstream::client::Event;
use msgstream::job::monitor::{Message, Progress, Start};
use msgstream::job::{Content, Object};
use serde::{Deserialize, Serialize};

use crate::broker::Broker;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    label: String,
}

#[tokio::test]
async fn objects_and_monitor_messages_arrive_as_what_they_are() {
    let broker = Broker::start();
    let (job, watcher) = (broker.connect().await, broker.connect().await);
    let start = Start::new("fit").of(10.0).units("steps");
    job.put_with_header("job", &Message::from(start.clone()), &Message::from(start.join(0.0))).await.unwrap();
    job.flush().await.unwrap();

    let mut listener = watcher.listen("job").await.unwrap();
    watcher.flush().await.unwrap();
    let point = || Point { x: 0.5, label: "é".to_owned() };
    job.put("job", &Object { class: "my.Point".to_owned(), version: "0.1".to_owned(), state: point() }).await.unwrap();
    job.put("job", &Message::from(Progress::new(3.0))).await.unwrap();

    let mut contents: Vec<Content> = Vec::new();
    while contents.len() < 3 {
        match listener.next().await.unwrap() {
            Event::Header(content) | Event::Message(content) => contents.push(content),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(Message::of(&contents[0]), Some(start.join(0.0).into()));
    let object = contents[1].object().unwrap();
    assert_eq!((&*object.class, &*object.version), ("my.Point", "0.1"));
    assert_eq!(object.state.parse::<Point>().unwrap(), point());
    assert_eq!(Message::of(&contents[1]), None);
    assert_eq!(Message::of(&contents[2]), Some(Progress::new(3.0).into()));
    assert_eq!(contents[2].object().unwrap().class, "monitor.Progress");
}
