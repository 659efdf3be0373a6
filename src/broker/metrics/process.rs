//! What the system says of this process. Only on Linux, and only what can be read; all else is left out.

/// The figures that every process has, under the names that every exporter uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    /// Time of processors, in seconds.
    pub(super) cpu_seconds: Option<f64>,
    /// Memory that is in use, in bytes.
    pub(super) resident_bytes: Option<f64>,
    /// Open descriptors.
    pub(super) open_fds: Option<f64>,
    /// How many there may be.
    pub(super) max_fds: Option<f64>,
}

#[cfg(not(target_os = "linux"))]
impl Process {
    /// Nothing.
    pub(super) fn now() -> Self {
        Self::default()
    }
}

/// When this process began, in seconds since 1970.
#[cfg(not(target_os = "linux"))]
pub(super) fn start_time() -> Option<f64> {
    None
}
