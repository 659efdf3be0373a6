//! What is kept at the end.

use std::io;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tokio::sync::mpsc;

use super::*;
use crate::broker::core::{Budget, CoreLimits, Epochs, Input, Restored};
use crate::wire::Frame;
use crate::wire::ids::ConnectionId;
use crate::wire::json_lines::ENCODER;

struct Nobody;

impl crate::broker::core::Deliver for Nobody {
    fn frame(&mut self, _: ConnectionId, _: &Frame) -> bool {
        true
    }

    fn latest(&mut self, _: ConnectionId, _: &StreamName, _: &Frame, _: u64) -> bool {
        true
    }

    fn begin_latest(&mut self, _: ConnectionId, _: &StreamName) {}

    fn event(&mut self, _: ConnectionId, _: &crate::wire::Event<'_>) {}

    fn finish(&mut self, _: ConnectionId, _: Option<&Frame>) {}

    fn end(&mut self, _: ConnectionId, _: crate::wire::ErrorCode, _: &str) {}
}

fn header(core: &mut Core, stream: &str) {
    let header = Frame::lasting(Box::from(&b"{}\n"[..]), &ENCODER);
    let input = Input::Header { stream: StreamName::new(stream).unwrap(), header, of: None, absent: false, receipt: None };
    core.handle(ConnectionId(0), input, &mut Budget::unlimited(), &mut Nobody);
}

/// A disk that fails while it is told to.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<InMemoryBackend>,
    fails: Arc<AtomicBool>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.bytes.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.bytes.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { self.bytes.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { self.bytes.write(offset, data) }
    }
}

// Seen to fail: nobody took the names of the save that failed, so that the window of a stream was kept without the stream, and no broker
// began with that store any more.
#[tokio::test]
async fn what_a_save_fails_with_after_the_end_of_the_actor_is_kept() {
    let disk = Disk::default();
    let store = Store::with_backend(disk.clone(), Duration::ZERO).unwrap();
    let limits = CoreLimits { streams: 9, listens: 9, stored: 9000, ended_time: Duration::from_secs(9), ..CoreLimits::default() };
    let mut core = Core::new(limits, Arc::default(), Epochs::new(0));
    core.keep_changes();
    header(&mut core, "handed over");
    let (sender, mut mailbox) = mpsc::unbounded_channel();
    let mut keeper: Box<dyn Keep> = Box::new(Keeper::new(store, Duration::ZERO, sender.downgrade(), Arc::default()).without_thread());
    keeper.begin().unwrap();
    keeper.wake();
    let Some(Command::Save(Save::Begin { moved, answer })) = mailbox.recv().await else { panic!("no save has begun") };
    core.begin_save(moved);
    let changes = std::iter::from_fn(|| core.next_change()).collect();
    // The actor ends while this is written, which fails.
    disk.fails.store(true, Ordering::Relaxed);
    answer.send(Piece { changes, is_last: true, has_more: false, clock: Duration::ZERO }).unwrap();
    drop((sender, mailbox));
    tokio::task::yield_now().await;
    disk.fails.store(false, Ordering::Relaxed);
    keeper.finish(core, false).await;
    let mut found = Vec::new();
    let mut store = Store::with_backend(disk, Duration::ZERO).unwrap();
    assert!(store.read_clock(Duration::ZERO).unwrap().life.is_some(), "all that there is is vouched for");
    let each =
        &mut |restored| found.extend(if let Restored::Stream { name, .. } = restored { Some(name.as_str().to_owned()) } else { None });
    store.load(each).unwrap();
    assert_eq!(found, ["handed over"]);
}

// Seen to fail: of a save that the end of the actor cut short, nothing was kept.
#[test]
fn what_a_save_has_begun_with_is_kept_if_the_actor_ends_before_it() {
    let path = std::env::temp_dir().join(format!("msgstream-keeper-{}.redb", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let limits = CoreLimits { streams: 9, listens: 9, stored: 9000, ended_time: Duration::from_secs(9), ..CoreLimits::default() };
    let mut core = Core::new(limits, Arc::default(), Epochs::new(0));
    core.keep_changes();
    ["handed over", "taken"].iter().for_each(|stream| header(&mut core, stream));
    core.begin_save(true);
    let unkept = core.next_change().into_iter().map(|change| change.name).collect();
    header(&mut core, "since");
    let (ended, mailbox) = (oneshot::channel().1, tokio::sync::mpsc::unbounded_channel().0.downgrade());
    let store = Store::open(&path).unwrap();
    let interval = Duration::ZERO;
    let mut feeder =
        Feeder { store, interval, mailbox, saves: Arc::default(), wake: Arc::default(), hurries: Arc::default(), ended, unkept };
    assert!(matches!(feeder.keep_all(&mut core, false), Ok(None)));
    drop(feeder);
    let mut found = Vec::new();
    let mut store = Store::open(&path).unwrap();
    let each = &mut |restored| {
        if let Restored::Stream { name, runs, .. } = restored {
            found.push((name.as_str().to_owned(), runs.is_some()));
        }
    };
    store.load(each).unwrap();
    drop(store);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(found, ["handed over", "since", "taken"].map(|name| (name.to_owned(), true)));
}
