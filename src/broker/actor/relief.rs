//! Keeping the memory of all queues together within its limit.

use tracing::debug;

use crate::broker::outbox::Relieved;
use crate::wire::ErrorCode;
use crate::wire::ids::ConnectionId;
use crate::wire::units::ByteSize;

use super::cut_log::Cut;
use super::routes::Routes;
use super::stats::Stats;

/// Cuts connections off until `queued` is within `total`, first those whose cut gives back most.
///
/// What waits for them is dropped rather than sent, since its memory is needed now. Memory that a cut gives back only once a frame
/// has been sent in full counts as given back, so that no further connection is cut for it.
pub(super) fn relieve(routes: &mut Routes, stats: &Stats, total: usize, queued: impl Fn() -> usize) {
    let mut gains: Vec<(usize, bool, ConnectionId)> =
        routes.connections().map(|(id, outbox)| (outbox.gain(), outbox.is_ending(), id)).filter(|(gain, ..)| *gain > 0).collect();
    // Of two that give back as much, the one that ends anyway comes first.
    gains.sort_unstable_by(|one, other| other.cmp(one));
    let mut promised = 0;
    for (gain, _, id) in gains {
        if queued().saturating_sub(promised) <= total {
            break;
        }
        let Some(outbox) = routes.outbox(id) else { continue };
        let bytes = outbox.bytes();
        let reason = format!(
            "the queues of all connections together took more than {}, the most allowed (outbox.total), and to drop this one, with {bytes} bytes in about {} of memory, gave back most; read faster, or listen to less",
            ByteSize(total),
            ByteSize(gain)
        );
        match outbox.relieve(&reason) {
            Relieved::Nothing => {}
            Relieved::Ending { promised: rest } => promised += rest,
            Relieved::Ended => debug!(connection = id.0, bytes, "a connection that was cut off is ended for its memory"),
            Relieved::Cut { promised: rest } => {
                promised += rest;
                routes.cut_log.cut(id, || outbox.peer(), Cut::Total, || reason.clone(), bytes);
                stats.cut_total.add(1);
                stats.tell(ErrorCode::SlowListener);
                routes.was_cut(id);
            }
        }
    }
}
