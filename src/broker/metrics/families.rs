//! Every metric of a broker: its name, what it means, and where its value comes from. `docs/metrics.md` says what to do about each.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::broker::actor::{Cut, Records, StatsSnapshot};
use crate::broker::outbox::TransportKind;
use crate::wire::{Encoding, ErrorCode};

use super::Sources;
use super::process::Process;
use super::writer::{Labels, Writer};

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut to, counts) = (Writer(encoder), self.stats.snapshot());
        to.info("msgstream_build", "What runs: always 1.", [("version", env!("CARGO_PKG_VERSION"))])?;
        self.connections(&mut to, &counts)?;
        traffic(self, &mut to, &counts)?;
        self.kept(&mut to, &counts)?;
        self.store(&mut to)?;
        self.nodes(&mut to)?;
        self.trouble(&mut to, &counts)?;
        self.actor(&mut to)?;
        self.process(&mut to)
    }
}

impl Sources {
    fn connections(&self, to: &mut Writer<'_>, counts: &StatsSnapshot) -> fmt::Result {
        let by = |count: fn(u64, u64) -> u64| {
            kinds().map(move |(labels, kind, encoding)| {
                let connections = self.stats.connections(kind, encoding);
                // Ends are read first, so that none is seen without its beginning.
                let closed = connections.closed.value();
                (labels, count(connections.opened.value(), closed))
            })
        };
        to.gauges("msgstream_connections", "Open connections.", by(u64::saturating_sub))?;
        to.counters("msgstream_connections_opened", "Connections that began.", by(|opened, _| opened))?;
        to.counters("msgstream_connections_closed", "Connections that ended.", by(|_, closed| closed))?;
        to.gauge("msgstream_connections_limit", "The most connections at once.", self.stats.most.connections.value())?;
        let refused = counts.connections_refused;
        to.counter("msgstream_connections_refused", "Connections turned away because there were too many.", refused)?;
        let failed = counts.handshakes_failed;
        to.counter("msgstream_handshakes_failed", "TLS handshakes that failed or took too long.", failed)?;
        let failed = counts.accept_failed;
        to.counter("msgstream_accepts_failed", "Accepts that failed for lack of descriptors or memory.", failed)
    }

    fn kept(&self, to: &mut Writer<'_>, counts: &StatsSnapshot) -> fmt::Result {
        let most = &self.stats.most;
        to.gauge("msgstream_streams", "Streams that exist.", counts.streams)?;
        to.gauge("msgstream_streams_limit", "The most streams at once (limits.streams).", most.streams.value())?;
        to.gauge("msgstream_listeners", "Listens in force, one for each connection and stream.", counts.listeners)?;
        to.gauge("msgstream_sessions", "Sessions that are known.", counts.sessions)?;
        to.gauge("msgstream_sessions_limit", "The most sessions at once (limits.sessions).", most.sessions.value())?;
        to.gauge("msgstream_queue_bytes", "Memory of what waits for all connections.", self.queues.bytes() as u64)?;
        let limit = most.queued.value();
        to.gauge("msgstream_queue_limit_bytes", "The most of that (outbox.total); beyond it listeners are cut off.", limit)?;
        to.gauge("msgstream_window_bytes", "Memory of the last messages of all streams.", counts.window_bytes)?;
        let limit = most.windows.value();
        to.gauge("msgstream_window_limit_bytes", "The most of that (replay.total); beyond it the oldest go.", limit)?;
        let help = "Memory of headers, last messages, names, listeners, sessions and wills.";
        to.gauge("msgstream_stored_bytes", help, counts.stored_bytes)?;
        let limit = most.stored.value();
        to.gauge("msgstream_stored_limit_bytes", "The most of that (limits.headers_total); beyond it actions are refused.", limit)?;
        let help = "Memory of what was received and has not taken effect.";
        to.gauge("msgstream_unfinished_bytes", help, self.intake.received().bytes() as u64)?;
        let limit = self.intake.most() as u64;
        to.gauge("msgstream_unfinished_limit_bytes", "The most of that (limits.unfinished_lines); beyond it lines are refused.", limit)?;
        to.gauge("msgstream_memory_limit_bytes", "The memory of the machine or of the cgroup, whichever is less.", self.memory as u64)
    }

    /// All of it is there without a store too, so that rules and dashboards need not ask.
    fn store(&self, to: &mut Writer<'_>) -> fmt::Result {
        let saves = &self.stats.saves;
        let kept = u64::from(saves.is_kept());
        to.gauge("msgstream_store_kept", "1 if what there is outlives a restart (store.path).", kept)?;
        let failing = saves.failing().map_or(0.0, |(time, _)| time.as_secs_f64());
        to.gauge("msgstream_store_failing_seconds", "For how long the store could not be written; 0 if all is well.", failing)?;
        to.counter("msgstream_store_commits", "Times that what had changed was made durable.", saves.done.value())?;
        to.counter("msgstream_store_failures", "Times that it could not be.", saves.failed.value())?;
        to.counter("msgstream_store_changes", "Streams and wills that were written.", saves.changes.value())?;
        let seconds = Duration::from_micros(saves.micros.value()).as_secs_f64();
        to.counter("msgstream_store_commit_seconds", "The time that took, the disk's included.", seconds)?;
        to.gauge("msgstream_store_size_bytes", "The file's size.", saves.size.value())?;
        to.counter("msgstream_store_written_bytes", "All bytes written to it.", saves.written.value())
    }

    /// As of the store: of a broker that is on its own, too.
    fn nodes(&self, to: &mut Writer<'_>) -> fmt::Result {
        let contact = &self.stats.contact;
        let nodes = contact.nodes().unwrap_or(0) as u64;
        to.gauge("msgstream_nodes", "Nodes of the space, as this one sees it; 0 if the broker is on its own.", nodes)?;
        let cut_off = contact.cut_off().map_or(0.0, |(time, _)| time.as_secs_f64());
        to.gauge("msgstream_node_cut_off_seconds", "For how long the node has not heard the others; 0 if all is well.", cut_off)?;
        let by =
            |count: fn(&Records) -> u64| [([("from", "this_node")], count(&contact.own)), ([("from", "others")], count(&contact.others))];
        to.counters("msgstream_log_records", "Records of the log of all nodes that were read.", by(|records| records.count.value()))?;
        to.counters("msgstream_log_bytes", "The bytes of those records.", by(|records| records.bytes.value()))
    }

    fn trouble(&self, to: &mut Writer<'_>, counts: &StatsSnapshot) -> fmt::Result {
        // Those of the clock are counted first and then told apart.
        let write = counts.cut_time.saturating_sub(counts.cut_throttle);
        let cuts = Cut::ALL.map(|cut| {
            let count = match cut {
                Cut::Limit => counts.cut_limit,
                Cut::Total => counts.cut_total,
                Cut::Write => write,
                Cut::Throttle => counts.cut_throttle,
            };
            ([("reason", cut.as_str())], count)
        });
        to.counters("msgstream_listeners_cut", "Listeners cut off, by the setting that was exceeded.", cuts)?;
        let errors = ErrorCode::ALL.map(|code| ([("code", code.as_str())], self.stats.told(code)));
        to.counters("msgstream_errors", "Errors and reasons for an end that clients were told, by code.", errors)?;
        to.counter("msgstream_lines_refused", "Lines that could not be taken as an action.", counts.mistakes)?;
        let resumes = [([("result", "honoured")], counts.resumed), ([("result", "missed")], counts.resume_missed)];
        to.counters("msgstream_resumes", "Listeners that came back, by whether all that they had missed was there.", resumes)?;
        to.counter("msgstream_wills", "Streams ended by a will, since their publisher was lost.", counts.wills)?;
        let failures: [(Labels<1>, u64); 3] = [
            ([("reason", "required")], counts.auth_required),
            ([("reason", "failed")], counts.auth_failed),
            ([("reason", "paused")], counts.auth_paused),
        ];
        to.counters("msgstream_auth_failures", "Clients that were not let in, by the reason.", failures)?;
        let unusable: [(Labels<1>, u64); 2] =
            [([("files", "certificates")], counts.certificates_unusable), ([("files", "tokens")], counts.tokens_unusable)];
        to.gauges("msgstream_reload_failed", "1 if files have changed and cannot be used, so that the former count.", unusable)?;
        to.counter("msgstream_connection_panics", "Connections that ended by a panic.", counts.panics)
    }

    fn actor(&self, to: &mut Writer<'_>) -> fmt::Result {
        let help = "How long the task that owns all streams took to answer, asked once a second.";
        to.histogram("msgstream_actor_round_trip_seconds", help, &self.round_trips)?;
        let help = "How long the question that is open now has waited for its answer.";
        to.gauge("msgstream_actor_unanswered_seconds", help, self.unanswered().as_secs_f64())
    }

    fn process(&self, to: &mut Writer<'_>) -> fmt::Result {
        let Process { cpu_seconds, resident_bytes, open_fds, max_fds } = Process::now();
        if let Some(seconds) = cpu_seconds {
            to.counter("process_cpu_seconds", "Time of processors, of the user and of the system.", seconds)?;
        }
        let levels = [
            ("process_resident_memory_bytes", "Memory of the process.", resident_bytes),
            ("process_open_fds", "Open descriptors.", open_fds),
            ("process_max_fds", "The most open descriptors.", max_fds),
            ("process_start_time_seconds", "When the process began, since 1970.", self.started),
        ];
        for (name, help, value) in levels {
            if let Some(value) = value {
                to.gauge(name, help, value)?;
            }
        }
        Ok(())
    }
}

fn traffic(sources: &Sources, to: &mut Writer<'_>, counts: &StatsSnapshot) -> fmt::Result {
    to.counter("msgstream_messages_received", "Messages that were put.", counts.messages)?;
    let help = "Messages and answers queued, once for each connection.";
    to.counter("msgstream_messages_sent", help, counts.delivered)?;
    to.counter("msgstream_received_bytes", "Bytes read from connections, without what TLS adds.", sources.intake.read())?;
    let sent = sources.sent.load(std::sync::atomic::Ordering::Relaxed);
    to.counter("msgstream_sent_bytes", "Bytes written to connections, without what TLS adds.", sent)?;
    to.counter("msgstream_steps", "Steps of the broker: one for each action, or for messages that came together.", counts.actions)?;
    to.counter("msgstream_translations", "Messages translated for listeners of another encoding.", counts.translated)
}

/// All kinds of connections, with their labels.
fn kinds() -> impl Iterator<Item = (Labels<2>, TransportKind, Encoding)> {
    TransportKind::ALL.into_iter().flat_map(|kind| {
        Encoding::ALL.iter().map(move |encoding| {
            let spoken = match encoding {
                Encoding::JsonLines => "json",
                Encoding::MessagePack => "msgpack",
            };
            ([("transport", kind.as_str()), ("encoding", spoken)], kind, *encoding)
        })
    })
}
