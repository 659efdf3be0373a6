//! What goes wrong in the world, and what the broker must make of it.
//!
//! Each test notes how it was seen to fail: the fault that was planted in the broker's code, or what stood there before.

mod bursts;
mod crowd;
mod cuts;
mod descriptors;
mod encrypted;
mod ended;
mod fan;
mod idle;
mod late;
mod latest;
mod long_lines;
mod loris;
mod many_streams;
mod marks;
mod neighbours;
mod odd_lines;
mod prefixes;
mod reloads;
mod shutdown;
mod socket_files;
mod splits;
mod stalled;
mod stopped;
mod storm;
mod strangers;
mod throttle;
mod torn;
mod unread;
