//! The same, read from Linux's files.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::process::Process;

/// Where the fields of `/proc/self/stat` stand behind the name of the program: the state is 0.
const UTIME: usize = 11;
const STIME: usize = 12;
const STARTTIME: usize = 19;
const RSS: usize = 21;

impl Process {
    /// As it is now.
    pub(super) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let ticks = |place| field(&stat, place).map(|ticks| ticks / clock_ticks_per_second() as f64);
        Self {
            cpu_seconds: ticks(UTIME).zip(ticks(STIME)).map(|(user, system)| user + system),
            resident_bytes: field(&stat, RSS).map(|pages| pages * page_size() as f64),
            open_fds: open_fds(),
            max_fds: Some(getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |most| most as f64)),
        }
    }
}

/// When this process began, in seconds since 1970.
pub(super) fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + field(&stat, STARTTIME)? / clock_ticks_per_second() as f64)
}

/// A number of `/proc/self/stat`. The name of the program stands in brackets, and may have any character in it.
fn field(stat: &str, place: usize) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(place)?.parse().ok()
}

fn open_fds() -> Option<f64> {
    // From Linux 6.2 on this is their number. Before, they have to be counted, which takes a while if there are many.
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    if told > 0 {
        return Some(told as f64);
    }
    // The folder itself is open meanwhile.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_be_anything() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 1234 99 17 0";
        let told = [UTIME, STIME, STARTTIME, RSS].map(|place| field(stat, place));
        assert_eq!(told, [Some(250.0), Some(50.0), Some(1234.0), Some(17.0)]);
        assert_eq!((field(stat, 99), field("", 0)), (None, None));
    }

    #[test]
    fn this_process_is_described() {
        let (process, now) = (Process::now(), std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap());
        assert!(process.resident_bytes.unwrap() > 1e6 && process.cpu_seconds.unwrap() >= 0.0, "{process:?}");
        assert!(process.open_fds.unwrap() >= 3.0 && process.max_fds.unwrap() > process.open_fds.unwrap(), "{process:?}");
        let age = now.as_secs_f64() - start_time().unwrap();
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
