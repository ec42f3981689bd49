//! How many messages may be on their way to a peer. Pure.
//!
//! The shared receive queue would run dry if a peer whose handler is slow were sent as much as it fits into the network; then the
//! devices repeat whole messages until there is room, which starves everybody. So a sender stops after as many messages as the peer
//! has announced (`window`) that the peer has not handled. Every SEND carries, as its immediate number, how many the
//! sender of it has handled; one that has handled half a window and has nothing to send says so in an empty SEND of its own.

/// Counts travel in 31 bits; the last one marks a SEND that is no message.
const COUNT_MASK: u32 = (1 << 31) - 1;
pub(super) const NO_MESSAGE: u32 = 1 << 31;

#[derive(Debug)]
pub(super) struct Credit {
    /// What the peer lets us have unhandled; 0 until it has said.
    window: u32,
    sent: u32,
    /// Of what was sent.
    peer_handled: u32,
    own_window: u32,
    handled: u32,
    /// The last count that the peer was told.
    told: u32,
}

impl Credit {
    pub(super) fn new(own_window: u8) -> Self {
        Self { window: 0, sent: 0, peer_handled: 0, own_window: own_window.into(), handled: 0, told: 0 }
    }

    pub(super) fn open(&mut self, window: u8) {
        self.window = window.into();
    }

    pub(super) fn may_send(&self) -> bool {
        distance(self.peer_handled, self.sent) < self.window
    }

    pub(super) fn note_sent(&mut self) {
        self.sent = self.sent.wrapping_add(1) & COUNT_MASK;
    }

    pub(super) fn note_handled(&mut self) {
        self.handled = self.handled.wrapping_add(1) & COUNT_MASK;
    }

    /// The immediate number of a SEND that is about to be posted.
    pub(super) fn tell(&mut self) -> u32 {
        self.told = self.handled;
        self.told
    }

    /// Whether the peer must be told, even if there is nothing else to send.
    pub(super) fn owes(&self) -> bool {
        let untold = distance(self.told, self.handled);
        untold > 0 && untold >= self.own_window / 2
    }

    /// Takes note of a SEND's immediate number. False if the peer claims to have handled what wasn't sent.
    pub(super) fn hear(&mut self, immediate: u32) -> bool {
        let count = immediate & COUNT_MASK;
        let sound = distance(self.peer_handled, count) <= distance(self.peer_handled, self.sent);
        if sound {
            self.peer_handled = count;
        }
        sound
    }
}

fn distance(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from) & COUNT_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of a connection.
    fn pair() -> (Credit, Credit) {
        let (mut a, mut b) = (Credit::new(8), Credit::new(8));
        a.open(8);
        b.open(8);
        (a, b)
    }

    #[test]
    fn a_sender_stops_at_the_window_and_goes_on_when_half_of_it_is_handled() {
        let (mut a, mut b) = pair();
        // Past the end of the counts, too.
        for counts in [&mut a.sent, &mut a.peer_handled, &mut b.handled, &mut b.told] {
            *counts = COUNT_MASK - 3;
        }
        for _ in 0..10 {
            while a.may_send() {
                a.note_sent();
            }
            assert!(!b.owes());
            while !b.owes() {
                b.note_handled();
            }
            assert!(a.hear(b.tell() | NO_MESSAGE));
            let free = (0..).take_while(|_| a.may_send().then(|| a.note_sent()).is_some()).count();
            assert_eq!(free, 4);
            (0..4).for_each(|_| b.note_handled());
            assert!(a.hear(b.tell()));
        }
    }

    #[test]
    fn nothing_is_sent_before_the_window_is_known() {
        assert!(!Credit::new(8).may_send());
    }

    #[test]
    fn a_count_of_what_was_not_sent_or_was_told_before_is_refused() {
        let (mut a, _) = pair();
        (0..3).for_each(|_| a.note_sent());
        assert!(!a.hear(4));
        assert!(a.hear(2));
        assert!(!a.hear(1));
        assert!(a.hear(2));
        assert!(a.hear(3));
    }
}
