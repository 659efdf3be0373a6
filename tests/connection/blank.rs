//! Blank lines, which say nothing and are to cost next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use msgstream::broker::Settings;
use msgstream::internal::wire::json_lines::JsonLines;
use msgstream::internal::wire::{Action, Codec, DecodeLimits, Encode, Foreign, Mistake, UnitEnd};

use super::pipe::pipe;
use super::{Broker, serve};

/// Counts what it is asked.
#[derive(Debug)]
struct Counting(JsonLines, Arc<AtomicUsize>);

impl Codec for Counting {
    const FRAMING: usize = JsonLines::FRAMING;

    fn encoder(&self) -> &'static dyn Encode {
        self.0.encoder()
    }

    fn unit(&self, bytes: &[u8], searched: usize) -> UnitEnd {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unit(bytes, searched)
    }

    fn foreign(&self, start: &[u8]) -> Foreign {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.foreign(start)
    }

    fn blank(&self, bytes: &[u8], most: usize) -> usize {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.blank(bytes, most)
    }

    fn decode<'a>(&'a mut self, unit: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.decode(unit, limits)
    }
}

// Seen to fail: each line was a new look at all that followed, so that a read of them held the broker up for seconds.
#[tokio::test(start_paused = true)]
async fn a_read_of_blank_lines_is_looked_at_once() {
    const LINES: usize = 20_000;
    let broker = Broker::start(&Settings::default());
    for line in ["\n", "\r\n", " \t\n"] {
        let asked = Arc::new(AtomicUsize::new(0));
        let (pipe, peer) = pipe();
        tokio::spawn(serve(pipe, Counting(JsonLines::default(), Arc::clone(&asked)), Arc::clone(&broker.context)));
        peer.send(line.repeat(LINES));
        assert_eq!(peer.ping().await, "");
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked < 100, "{asked} looks at {LINES} blank lines");
    }
}

// Seen to fail: one that came in one piece was skipped, whatever its length.
#[tokio::test(start_paused = true)]
async fn a_blank_line_that_is_too_long_is_so_however_it_falls_apart() {
    let mut settings = Settings::default();
    settings.limits.line.0 = 300;
    let broker = Broker::start(&settings);
    let line = format!("\n \n{}\n\n", " ".repeat(301));
    for cut in 0..line.len() {
        let (pipe, peer) = pipe();
        tokio::spawn(serve(pipe, JsonLines::default(), Arc::clone(&broker.context)));
        let (first, rest) = line.split_at(cut);
        if cut > 0 {
            peer.send(first);
            // It is read before the rest comes.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        peer.send(rest);
        let told = peer.ping().await;
        assert!(told.contains("line_too_long") && told.lines().count() == 1, "{cut}: {told}");
    }
}
