//! The program as a process that a test has started, and reads the log of.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Such a process, killed when the test ends.
pub(crate) struct Started {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Started {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program runs");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, log }
    }

    /// Reads the log up to the first line that has this in it.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        let mut all = String::new();
        loop {
            let start = all.len();
            assert_ne!(self.log.read_line(&mut all).expect("UTF-8"), 0, "{part:?} was not logged: {all}");
            if all[start..].contains(part) {
                return all[start..].to_owned();
            }
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is ours");
    }

    /// The exit code and the rest of the log.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("UTF-8");
        (self.child.wait().expect("our child").code(), rest)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has ended by itself, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
