//! The state of one encrypted connection, between bytes of the peer's and ours. Idle, it holds no buffer.

use std::io::{self, IoSlice};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};

use crate::broker::outbox::{Sink, Unsent};

/// What a record carries at the most, in bytes.
pub(super) const RECORD: usize = 16 << 10;

/// What a record carries at the beginning of a connection, ...
const FIRST_RECORD: usize = 4 << 10;

/// ... as long as it has sent less than this. A record can be read only once all of it has come: on a network that carries little before it
/// breaks, short ones bring the peer further.
const BEGINNING: usize = 64 << 10;

/// How many of the longest records go to the socket in one write: what an outbox gives at once, 64 KiB and the rest of a message.
const RECORDS_A_WRITE: usize = 5;

/// How many of the short ones do.
const FEW_RECORDS: usize = 2;

/// What a record takes beside that at the most: its header, a nonce, the kind of its content and the mark of its authenticity.
pub(super) const OVERHEAD: usize = 128;

/// The header of a record, of which the last two bytes are the length of what follows.
const HEADER: usize = 5;

/// What may be held of messages that are not complete: a handshake with a long chain of certificates. Nobody needs as much.
const MOST_INCOMING: usize = 24 << 10;

/// What may wait to be sent: what one write carries, and of what the peer did not ask for, alerts and tickets of its session, so much.
const MOST_UNSENT: usize = RECORDS_A_WRITE * (RECORD + OVERHEAD) + (64 << 10);

/// One connection's state.
pub(super) struct Session {
    tls: UnbufferedServerConnection,
    /// What has come and makes no whole record.
    incoming: Vec<u8>,
    /// What has been decrypted, and was more than the last read had room for.
    plain: Vec<u8>,
    /// What has been encrypted, and was more than the socket took: what one write carries, at the most.
    unsent: Vec<u8>,
    /// How much of that has been sent.
    sent: usize,
    /// The most that a record carries.
    record: usize,
    /// What all records have carried, up to the end of the beginning.
    carried: usize,
    /// No more comes.
    pub(super) has_ended: bool,
    /// What came cannot be understood, and the peer has been told.
    pub(super) has_failed: bool,
    /// The peer was told that nothing more comes, or is as soon as its socket takes that.
    says_end: bool,
    /// Others get their turn before this connection reads again.
    pub(super) pauses: bool,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config)?,
            incoming: Vec::new(),
            plain: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            record: RECORD,
            carried: 0,
            has_ended: false,
            has_failed: false,
            says_end: false,
            pauses: false,
        })
    }

    /// Whether it can neither be read from nor written to yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The certificate of the client, in DER.
    pub(super) fn client_certificate(&self) -> Option<&[u8]> {
        self.tls.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// From now on records are short, so that what waits in one is not much.
    pub(super) fn keep_records_to(&mut self, most: usize) {
        self.record = most;
    }

    /// What the next record carries at the most.
    pub(super) fn record(&self) -> usize {
        if self.carried < BEGINNING { self.record.min(FIRST_RECORD) } else { self.record }
    }

    /// How many records go to the socket in one write. It may take none of them, so of short ones, which are to be little, there are few.
    pub(super) fn records_a_write(&self) -> usize {
        if self.record() == RECORD { RECORDS_A_WRITE } else { FEW_RECORDS }
    }

    /// What has come and makes no whole record.
    pub(super) fn incoming(&self) -> &[u8] {
        &self.incoming
    }

    /// Whether a read gives something without the socket.
    pub(super) fn is_readable(&self) -> bool {
        !self.plain.is_empty() || self.has_ended || self.has_failed
    }

    /// Whether something waits for the socket to take it.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Moves what was decrypted before into the spare room of `buffer`.
    pub(super) fn take_plain(&mut self, buffer: &mut Vec<u8>) {
        let room = (buffer.capacity() - buffer.len()).min(self.plain.len());
        buffer.extend(self.plain.drain(..room));
        if self.plain.is_empty() {
            self.plain = Vec::new();
        }
    }

    /// Understands what has come, which begins with what was kept: how much of it is used up. What was decrypted goes into the spare room
    /// of `buffer`, and what is beyond that is kept. What is to be answered is to be [sent](Self::send), be it the reason of an error.
    pub(super) fn advance(&mut self, bytes: &mut [u8], buffer: &mut Vec<u8>) -> Result<usize, rustls::Error> {
        if self.has_failed {
            return Err(rustls::Error::General("it has failed before".to_owned()));
        }
        let (mut used, mut failed) = (0, None);
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(rest);
            let mut goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        let room = (buffer.capacity() - buffer.len()).min(record.payload.len());
                        let (now, later) = record.payload.split_at(room);
                        buffer.extend_from_slice(now);
                        self.plain.extend_from_slice(later);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut []) {
                        let start = self.unsent.len();
                        self.unsent.resize(start + required_size, 0);
                        // It fits.
                        let _ = data.encode(self.unsent.get_mut(start..).unwrap_or_default());
                    }
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.has_ended = true;
                    true
                }
                // Nothing more can be done with what has come. Early data, the only other state, is not offered.
                Ok(_) => false,
                Err(error) => {
                    failed.get_or_insert(error);
                    false
                }
            };
            used += discard;
            if failed.is_some() {
                // What the peer is told of it. Nothing else must be asked for: the library takes a second fault for its own.
                goes_on = self.tls.wants_write();
            }
            if !goes_on {
                break;
            }
        }
        let too_much = bytes.len().saturating_sub(used) > MOST_INCOMING || self.unsent.len() - self.sent > MOST_UNSENT;
        let failed = failed.or_else(|| too_much.then(|| rustls::Error::General("more was sent than TLS needs".to_owned())));
        self.has_failed |= failed.is_some();
        failed.map_or(Ok(used), Err)
    }

    /// Keeps what makes no whole record.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        // Of exactly this size.
        self.incoming = rest.to_vec();
    }

    /// Whether there is something to understand: a whole record, or one that says that it is longer than any may be.
    pub(super) fn has_whole_record(bytes: &[u8]) -> bool {
        match bytes.first_chunk::<HEADER>() {
            Some([.., high, low]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                bytes.len() >= HEADER + length || length > RECORD + OVERHEAD
            }
            None => false,
        }
    }

    /// How many bytes the next read from the socket takes, behind `have` that make no whole record: what cannot become more than `room`
    /// when it is decrypted, or else the rest of one record.
    pub(super) fn wants(have: &[u8], room: usize) -> usize {
        let rest = match have.first_chunk::<HEADER>() {
            Some([.., high, low]) => (HEADER + usize::from(u16::from_be_bytes([*high, *low]))).saturating_sub(have.len()),
            None => HEADER - have.len(),
        };
        room.saturating_sub(have.len()).max(rest).max(1)
    }

    /// Encrypts what is to be sent, a record at the most, and puts it into `sealed`, whose first `end` bytes are taken. Returns how many
    /// are taken then; what is behind them has no meaning.
    pub(super) fn seal(&mut self, plain: &[u8], sealed: &mut Vec<u8>, end: usize) -> io::Result<usize> {
        if self.has_failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(end) = self.try_seal(plain, sealed, end)? {
            return Ok(end);
        }
        // Something of TLS itself came first.
        let mut incoming = std::mem::take(&mut self.incoming);
        let advanced = self.advance(&mut incoming, &mut Vec::new());
        self.keep(incoming.get(advanced.as_ref().map_or(incoming.len(), |used| *used)..).unwrap_or_default());
        advanced.map_err(io::Error::other)?;
        self.try_seal(plain, sealed, end)?.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn try_seal(&mut self, plain: &[u8], sealed: &mut Vec<u8>, end: usize) -> io::Result<Option<usize>> {
        let UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } =
            self.tls.process_tls_records(&mut self.incoming)
        else {
            return Ok(None);
        };
        let mut room = plain.len() + OVERHEAD;
        let written = loop {
            // It keeps its length: to fill it with zeros costs as much as to copy a record.
            if sealed.len() < end + room {
                sealed.resize(end + room, 0);
            }
            match traffic.encrypt(plain, sealed.get_mut(end..).unwrap_or_default()) {
                // A new key is told before it.
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) if required_size > room => {
                    room = required_size
                }
                written => break written.map_err(io::Error::other)?,
            }
        };
        self.carried = self.carried.saturating_add(plain.len());
        Ok(Some(end + written))
    }

    /// Writes sealed records, and keeps what the socket does not take of it. Nothing must be unsent before.
    pub(super) fn write(&mut self, sealed: &[u8], socket: &impl Sink) -> io::Result<()> {
        debug_assert!(!self.has_unsent(), "records would change places");
        let written = write_once(socket, sealed)?;
        self.unsent.extend_from_slice(sealed.get(written..).unwrap_or_default());
        Ok(())
    }

    /// Says that nothing more will be sent, as far as the socket takes it.
    pub(super) fn say_end(&mut self, socket: &impl Sink) {
        if !self.has_failed
            && !std::mem::replace(&mut self.says_end, true)
            && let UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } =
                self.tls.process_tls_records(&mut self.incoming)
        {
            let mut alert = [0; OVERHEAD];
            let length = traffic.queue_close_notify(&mut alert).unwrap_or(0);
            self.unsent.extend_from_slice(alert.get(..length).unwrap_or_default());
        }
        if self.send(socket).is_err() {
            // The peer is gone already.
            (self.unsent, self.sent) = (Vec::new(), 0);
        }
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn send(&mut self, socket: &impl Sink) -> io::Result<Unsent> {
        let before = self.sent;
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = write_once(socket, rest)?;
            self.sent += written;
            if written == 0 {
                break;
            }
        }
        let unsent = Unsent { went: self.sent - before, left: self.unsent.len() - self.sent };
        if unsent.left == 0 {
            (self.unsent, self.sent) = (Vec::new(), 0);
        }
        Ok(unsent)
    }
}

/// What the socket takes of it now, perhaps nothing.
fn write_once(socket: &impl Sink, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.try_write(&[IoSlice::new(bytes)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
