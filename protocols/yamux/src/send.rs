//! What leaves: control frames first, then one data frame of each stream in turn.

use crate::{
    stream::Sending,
    wire::{ACK, FIN, HEADER, Header, Kind, RST, SYN},
    yamux::Yamux,
};
use libp2p_proto_core::{Instant, TransmitBuf};

impl Yamux {
    /// Appends one frame, if one is due and fits; says whether it did. A data frame is cut to the room that is left.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.now = self.now.max(now);
        if out.remaining() < HEADER {
            return false;
        }
        let sent = self.send_session(out)
            || (self.failed.is_none() && (self.send_control(out) || self.send_data(out)));
        if sent {
            self.stats.frames_out = self.stats.frames_out.saturating_add(1);
        }
        if !self.has_control() {
            self.waiting_since = None;
        }
        sent
    }

    fn has_control(&self) -> bool {
        !self.control.is_empty()
            || !self.resets.is_empty()
            || !self.pongs.is_empty()
            || self.go_away_due.is_some()
    }

    /// Go-away, pongs, resets, our ping.
    fn send_session(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        let frame = if self.failed.is_some() {
            self.go_away_due
                .take()
                .map(|code| Header::new(Kind::GoAway, 0, 0, code))
        } else if let Some(value) = self.pongs.pop_front() {
            Some(Header::new(Kind::Ping, ACK, 0, value))
        } else if let Some(stream) = self.resets.pop_front() {
            Some(Header::new(Kind::WindowUpdate, RST, stream, 0))
        } else if let Some(code) = self.go_away_due.take() {
            Some(Header::new(Kind::GoAway, 0, 0, code))
        } else if let Some(value) = self.pinger.due() {
            self.pinger.sent(self.now);
            Some(Header::new(Kind::Ping, SYN, 0, value))
        } else {
            None
        };
        // Room for one header was checked.
        frame.is_some_and(|frame| frame.write(out))
    }

    /// SYN, ACK and credit of the next stream that has any.
    fn send_control(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        while let Some(id) = self.control.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.in_control = false;
            let alone = stream.ack_due && stream.update_due.is_none() && !stream.syn_due;
            // An ACK rides on data that is ready anyway.
            if !stream.has_control() || (alone && stream.in_data && stream.has_data()) {
                continue;
            }
            let syn = if core::mem::take(&mut stream.syn_due) {
                SYN
            } else {
                0
            };
            let ack = if core::mem::take(&mut stream.ack_due) {
                ACK
            } else {
                0
            };
            let credit = stream.update_due.take().unwrap_or(0);
            return Header::new(Kind::WindowUpdate, syn | ack, id, credit).write(out);
        }
        false
    }

    /// A data frame of the next stream in turn.
    fn send_data(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        let room = out.remaining().saturating_sub(HEADER);
        let max = usize::try_from(self.config.max_frame)
            .unwrap_or(usize::MAX)
            .min(room);
        while let Some(id) = self.data.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.in_data = false;
            if !stream.has_data() {
                continue;
            }
            let len = stream.next_frame(max);
            if len == 0 && stream.queued() > 0 {
                // No room for a byte in this buffer; the stream keeps its turn.
                stream.in_data = true;
                self.data.push_front(id);
                return false;
            }
            // FIN has a frame of its own: js drops the body of a frame that carries both.
            let last = stream.sending == Sending::Finishing && stream.queued() == 0;
            let fin = if last { FIN } else { 0 };
            let ack = if core::mem::take(&mut stream.ack_due) {
                ACK
            } else {
                0
            };
            let header = Header::new(Kind::Data, fin | ack, id, u32::try_from(len).unwrap_or(u32::MAX));
            if !header.write(out) {
                return false;
            }
            stream.take_into(len, out);
            self.stats.bytes_out = self.stats.bytes_out.saturating_add(len as u64);
            if last {
                stream.sending = Sending::Finished;
            }
            if len > 0 && !stream.in_drained {
                stream.in_drained = true;
                self.drained.push_back(id);
            }
            self.queue_data(id);
            self.close_if_done(id);
            return true;
        }
        false
    }
}
