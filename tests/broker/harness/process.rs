//! A process as the system sees it: its memory, its descriptors, its use of the processor, its signals.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit, setrlimit};

/// A running process, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(Pid);

impl Process {
    pub(crate) fn new(id: u32) -> Self {
        Self(i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id"))
    }

    pub(crate) fn id(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    pub(crate) fn signal(self, signal: Signal) {
        kill_process(self.0, signal).expect("the process is there");
    }

    /// Memory in use, in bytes.
    pub(crate) fn rss(self) -> usize {
        self.memory("VmRSS:")
    }

    /// The most memory that has been in use since the start, in bytes.
    pub(crate) fn peak_rss(self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(self, field: &str) -> usize {
        let status = fs::read_to_string(self.file("status")).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") << 10
    }

    /// Open descriptors.
    pub(crate) fn fds(self) -> usize {
        fs::read_dir(self.file("fd")).expect("the process is there").count()
    }

    /// Calls of `read` and its like so far, those that found nothing included; `send` and `recv` do not count.
    pub(crate) fn reads(self) -> u64 {
        let io = fs::read_to_string(self.file("io")).expect("the process is there");
        let line = io.lines().find_map(|line| line.strip_prefix("syscr: ")).expect("a count of reads");
        line.parse().expect("a number")
    }

    /// Time on the processor since the start. The system counts it in hundredths of a second.
    pub(crate) fn cpu(self) -> Duration {
        let fields = self.stat();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// The same of all its threads, to the nanosecond.
    pub(crate) fn exact_cpu(self) -> Duration {
        let threads = fs::read_dir(self.file("task")).expect("the process is there");
        let times = threads.filter_map(|thread| {
            // A thread that has ended meanwhile has no file any more.
            let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(times.sum())
    }

    /// The state's letter: `S` sleeping, `R` running, `T` stopped.
    pub(crate) fn state(self) -> char {
        self.stat()[0].chars().next().unwrap()
    }

    /// Changes how many descriptors the process may have from now on, and returns how many it might have before.
    pub(crate) fn limit_fds(self, most: u64) -> u64 {
        let before = prlimit(Some(self.0), Resource::Nofile, Rlimit { current: Some(most), maximum: getrlimit(Resource::Nofile).maximum });
        before.expect("our own child").current.expect("a limit")
    }

    /// The fields of `stat` after the name, which may hold spaces itself.
    fn stat(self) -> Vec<String> {
        let stat = fs::read_to_string(self.file("stat")).expect("the process is there");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        fields.split_whitespace().map(str::to_owned).collect()
    }

    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.id()))
    }
}

/// Makes room for `wanted` sockets in the tests' own process and says how many there may be, which is fewer where the
/// system's hard limit is low.
pub(crate) fn descriptors_for(wanted: usize) -> usize {
    /// What the harness and tests beside this one may hold.
    const OTHERS: usize = 600;
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    wanted.min(most.saturating_sub(OTHERS))
}
