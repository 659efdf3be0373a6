//! How much memory the broker may count on: the machine's, or its cgroup's if that is less.

use std::fs;
use std::path::{Path, PathBuf};

/// The default where none of the files can be read: small enough for any machine.
const FALLBACK: usize = 1 << 30;

/// The memory of the machine or of the cgroup, whichever is less, in bytes.
pub(in crate::broker) fn memory() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let cgroup = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| cgroup_limit(Path::new("/sys/fs/cgroup"), &text));
    machine.into_iter().chain(cgroup).min().unwrap_or(FALLBACK)
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<usize>().ok().map(|kib| kib << 10)
}

/// The least limit of the process's cgroup and of those above it. `cgroups` is the text of `/proc/self/cgroup`:
/// version 2 has one line that begins with `0::`, version 1 one with the memory controller.
fn cgroup_limit(root: &Path, cgroups: &str) -> Option<usize> {
    let limits = cgroups.lines().flat_map(|line| {
        let (base, path, file) = match line.strip_prefix("0::") {
            Some(path) => (root.to_owned(), path, "memory.max"),
            None => match line.split_once(":memory:") {
                Some((_, path)) => (root.join("memory"), path, "memory.limit_in_bytes"),
                None => (root.to_owned(), "", ""),
            },
        };
        let path: PathBuf = Path::new(path).components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect();
        // Inside a container the path is that of the host, and the root is the container's own: both are asked.
        path.ancestors().map(|part| base.join(part).join(file)).collect::<Vec<_>>()
    });
    limits.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<usize>().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_above_counts() {
        let root = std::env::temp_dir().join(format!("msgstream-cgroup-{}", std::process::id()));
        fs::create_dir_all(root.join("system.slice/msgstream.service")).unwrap();
        fs::write(root.join("system.slice/memory.max"), "1000\n").unwrap();
        fs::write(root.join("system.slice/msgstream.service/memory.max"), "max\n").unwrap();
        assert_eq!(cgroup_limit(&root, "0::/system.slice/msgstream.service\n"), Some(1000));
        fs::write(root.join("system.slice/msgstream.service/memory.max"), "500\n").unwrap();
        assert_eq!(cgroup_limit(&root, "0::/system.slice/msgstream.service\n"), Some(500));
        assert_eq!(cgroup_limit(&root, "4:cpu:/x\n"), None);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn meminfo_is_in_kib() {
        assert_eq!(total("MemFree: 5 kB\nMemTotal:       2048 kB\n").unwrap_or(0), 2 << 20);
    }
}
