//! What leaves: control frames first, then one data frame of each stream in turn.

use crate::{
    stream::{Opening, Sending},
    wire::{ACK, FIN, HEADER, Header, Kind, RST, SYN},
    yamux::{Waiting, Yamux, pop},
};
use libp2p_proto_core::{Instant, TransmitBuf};

impl Yamux {
    /// Appends one frame, if one is due and fits; says whether it did. A data frame is cut to the room that is left, so call it until `false`
    /// to fill a buffer. A buffer of fewer than 13 bytes may hold nothing.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.tell(now);
        if out.remaining() < HEADER {
            return false;
        }
        let sent = self.send_session(out)
            || (self.failed.is_none() && (self.send_control(out) || self.send_data(out)));
        if sent {
            self.stats.frames_out = self.stats.frames_out.saturating_add(1);
        }
        if !self.waits() {
            self.waiting = Waiting::No;
        } else if sent {
            self.waiting = Waiting::Since(self.now);
        }
        sent
    }

    /// Whether anything but data is to be sent.
    pub(crate) fn waits(&self) -> bool {
        self.has_control() || self.pinger.due().is_some()
    }

    pub(crate) fn has_control(&self) -> bool {
        !self.control.is_empty()
            || !self.resets.is_empty()
            || !self.pongs.is_empty()
            || self.go_away_due.is_some()
    }

    /// Pongs, resets, go-away, our ping.
    fn send_session(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        let frame = if let Some(value) = pop(&mut self.pongs) {
            Header::new(Kind::Ping, ACK, 0, value)
        } else if let Some(stream) = pop(&mut self.resets) {
            Header::new(Kind::WindowUpdate, RST, stream, 0)
        } else if let Some(code) = self.go_away_due.take() {
            Header::new(Kind::GoAway, 0, 0, code)
        } else if let Some(value) = self.pinger.due().filter(|_| self.failed.is_none()) {
            self.pinger.sent(self.now);
            Header::new(Kind::Ping, SYN, 0, value)
        } else {
            return false;
        };
        // Room for one header was checked.
        frame.write(out)
    }

    /// SYN, ACK and credit of the next stream that has any.
    fn send_control(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        while let Some(id) = pop(&mut self.control) {
            let hold = self.stats.frames_in == 0 && self.early_syns >= self.config.max_early;
            let syn_rides = self.config.syn_on_data && out.remaining() > HEADER;
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.in_control = false;
            let flags = match stream.opening {
                Opening::SynDue if hold => {
                    self.early.push_back(id);
                    continue;
                }
                Opening::SynDue => {
                    stream.opening = Opening::SynSent;
                    if self.stats.frames_in == 0 {
                        self.early_syns = self.early_syns.saturating_add(1);
                    }
                    if syn_rides && stream.has_data() && stream.update_due == 0 {
                        return self.send_data_of(id, SYN, out);
                    }
                    SYN
                }
                // An ACK rides on data that is ready anyway.
                Opening::AckDue if stream.update_due == 0 && stream.has_data() => continue,
                Opening::AckDue => {
                    stream.opening = Opening::Done;
                    ACK
                }
                _ if stream.update_due == 0 => continue,
                _ => 0,
            };
            let credit = core::mem::take(&mut stream.update_due);
            let sent = Header::new(Kind::WindowUpdate, flags, id, credit).write(out);
            self.queue_data(id);
            return sent;
        }
        false
    }

    /// A data frame of the next stream in turn.
    fn send_data(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        while let Some(id) = pop(&mut self.data) {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.in_data = false;
            if !stream.has_data() {
                continue;
            }
            if stream.queued() > 0 && out.remaining() <= HEADER {
                // No room for a byte in this buffer; the stream keeps its turn.
                stream.in_data = true;
                self.data.push_front(id);
                return false;
            }
            return self.send_data_of(id, 0, out);
        }
        false
    }

    /// A data frame of a stream that has one and room for it.
    fn send_data_of(&mut self, id: u32, flags: u16, out: &mut TransmitBuf<'_>) -> bool {
        let room = out.remaining().saturating_sub(HEADER);
        let max = usize::try_from(self.config.max_frame).unwrap_or(usize::MAX);
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        let len = stream.next_frame(max.min(room));
        // FIN has a frame of its own: js drops the body of a frame that carries both.
        let last = stream.sending == Sending::Finishing && stream.queued() == 0;
        let mut flags = flags | if last { FIN } else { 0 };
        if stream.opening == Opening::AckDue {
            stream.opening = Opening::Done;
            flags |= ACK;
        }
        let header = Header::new(Kind::Data, flags, id, u32::try_from(len).unwrap_or(u32::MAX));
        if !header.write(out) {
            return false;
        }
        stream.take_into(len, out);
        self.stats.bytes_out = self.stats.bytes_out.saturating_add(len as u64);
        if last {
            stream.sending = Sending::Finished;
        }
        if len > 0 {
            self.queue_drained(id);
        }
        self.queue_data(id);
        self.close_if_done(id);
        true
    }
}
