use std::sync::Arc;

use super::{Frame, Gauge, Slots, Translation, Translations, allocated};
use crate::wire::ids::StreamName;
use crate::wire::json_lines::ENCODER as JSON;
use crate::wire::message_pack::ENCODER as MESSAGE_PACK;
use crate::wire::{Encode, Event};

fn bytes(encoder: &dyn Encode, message: &[u8]) -> Box<[u8]> {
    let mut out = Vec::new();
    let stream = StreamName::new("s").unwrap();
    encoder.encode(&Event::Put { stream: &stream, message }, &mut out);
    out.into()
}

// Seen to fail: with all of the run in place of its last message.
#[test]
fn the_last_message_of_a_run_begins_where_its_unit_does() {
    let encoders: [(&'static dyn Encode, [&[u8]; 3]); 2] =
        [(&JSON, [b"1", b"\"\\n\"", b"[2]"]), (&MESSAGE_PACK, [b"\x01", b"\xa1\n", b"\x91\x02"])];
    for (encoder, messages) in encoders {
        for count in 1..=3 {
            let run: Vec<u8> = messages[..count].iter().flat_map(|message| bytes(encoder, message)).collect();
            let last = Frame::new(run.into(), count as u32, encoder).last();
            assert_eq!((last.bytes(), last.messages()), (&*bytes(encoder, messages[count - 1]), 1));
        }
    }
    let one = Frame::new(bytes(&JSON, b"1"), 1, &JSON);
    assert!(one.last().is(&one), "one message is not copied");
}

#[test]
fn a_message_is_translated_once_and_forgotten_with_its_last_listener() {
    let translations = Arc::new(Translations::keeping(10_000, Arc::default()));
    let frame = Frame::new(bytes(&JSON, b"[1]"), 1, &JSON);
    assert!(frame.is_in(&JSON) && !frame.is_in(&MESSAGE_PACK));
    let queued = frame.translated(&MESSAGE_PACK, &translations);
    assert_eq!(queued.bytes(), &*bytes(&MESSAGE_PACK, b"\x91\x01"));
    for _ in 0..100 {
        assert_eq!(frame.translated(&MESSAGE_PACK, &translations).bytes().as_ptr(), queued.bytes().as_ptr());
    }
    assert_eq!((translations.count(), translations.kept()), (1, 0));
    let weak = Translation::of(&queued, false, &translations);
    drop(queued);
    assert!(weak.frame().is_none());
}

#[test]
fn what_is_stored_keeps_its_translation_while_there_is_room() {
    let cost = Frame::new(bytes(&JSON, b"[1]"), 1, &JSON).cost();
    let translations = Arc::new(Translations::keeping(cost + cost / 2, Arc::default()));
    let headers: Vec<_> = (0..2).map(|_| Frame::lasting(bytes(&MESSAGE_PACK, b"\x91\x01"), &MESSAGE_PACK)).collect();
    for _ in 0..10 {
        for header in &headers {
            assert_eq!(header.translated(&JSON, &translations).bytes(), &*bytes(&JSON, b"[1]"));
        }
    }
    // The first is kept; for the second there is no room.
    assert_eq!(translations.count(), 1 + 10);
    assert_eq!(translations.kept(), headers[0].translated(&JSON, &translations).cost());
    drop(headers);
    assert_eq!(translations.kept(), 0);
}

#[test]
fn each_encoding_has_a_slot_of_its_own() {
    // Two values of one type are two encoders: they are told apart by their addresses.
    let (one, other) = (Frame::new(Box::default(), 1, &JSON), Frame::new(Box::default(), 1, &MESSAGE_PACK));
    let translations = Arc::new(Translations::default());
    let mut slots = Slots::default();
    slots.set(Translation::of(&one, false, &translations));
    slots.set(Translation::of(&other, false, &translations));
    assert!(slots.find(&JSON).is_some() && slots.find(&MESSAGE_PACK).is_some());
    // The place of one that nobody holds is taken by the next.
    drop(one);
    assert!(slots.find(&JSON).is_none());
    let third = Frame::new(Box::default(), 1, &JSON);
    slots.set(Translation::of(&third, false, &translations));
    assert!(slots.find(&JSON).is_some() && slots.find(&MESSAGE_PACK).is_some());
    assert_eq!(slots.more.map_or(0, |more| more.len()), 1);
}

#[test]
fn a_gauge_is_never_below_nothing() {
    let gauge = Gauge::default();
    gauge.remove(10);
    assert_eq!(gauge.bytes(), 0);
    gauge.add(15);
    assert_eq!(gauge.bytes(), 5);
}

#[test]
fn a_frame_is_counted_once_wherever_it_stands() {
    let gauge = Gauge::default();
    let frame = Frame::new(bytes(&JSON, b"1"), 1, &JSON);
    let cost = frame.cost();
    for _ in 0..3 {
        frame.enter(&gauge);
    }
    assert_eq!((gauge.bytes(), frame.share()), (cost, cost / 3));
    frame.store(&gauge);
    assert_eq!((gauge.bytes(), frame.share()), (0, 0), "who stores it counts it");
    frame.enter(&gauge);
    frame.leave(&gauge);
    assert_eq!(gauge.bytes(), 0);
    frame.unstore(&gauge);
    assert_eq!(gauge.bytes(), cost, "queues hold it still");
    for _ in 0..3 {
        frame.leave(&gauge);
    }
    assert_eq!(gauge.bytes(), 0);
    // Stored and let go while no queue holds it.
    frame.store(&gauge);
    frame.unstore(&gauge);
    assert_eq!(gauge.bytes(), 0);
}

#[test]
fn the_allocator_rounds_up_by_a_quarter_at_most() {
    for size in 1..100_000 {
        let taken = allocated(size);
        assert!((size..=size + (size / 4).max(15)).contains(&taken), "{size} takes {taken}");
    }
    assert_eq!([allocated(1), allocated(129), allocated(257), allocated(65_537)], [16, 160, 320, 81_920]);
}
