//! Tickets: what an open file is changed into at the socket, once. Pure but for the random number.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use scifs_client::abi::Ticket;

use super::limits::{TICKET_FOR, TICKETS_MAX};

struct Issued<T> {
    since: Instant,
    /// The open file that it was given out for.
    handle: u64,
    value: T,
}

pub(super) struct Tickets<T>(Mutex<HashMap<Ticket, Issued<T>>>);

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Tickets<T> {
    pub(super) fn issue(&self, handle: u64, value: T) -> Result<Ticket, Errno> {
        let mut ticket = Ticket::default();
        let random = getrandom(&mut ticket, GetRandomFlags::empty())?;
        if random < ticket.len() {
            return Err(Errno::AGAIN);
        }
        let mut issued = self.0.lock();
        if issued.len() >= TICKETS_MAX {
            return Err(Errno::AGAIN);
        }
        issued.insert(ticket, Issued { since: Instant::now(), handle, value });
        Ok(ticket)
    }

    pub(super) fn take(&self, ticket: &Ticket) -> Option<T> {
        let issued = self.0.lock().remove(ticket)?;
        (issued.since.elapsed() < TICKET_FOR).then_some(issued.value)
    }

    /// The open file was closed.
    pub(super) fn void(&self, handle: u64) {
        self.drop_those(|issued| issued.handle == handle);
    }

    pub(super) fn expire(&self) {
        self.drop_those(|issued| issued.since.elapsed() >= TICKET_FOR);
    }

    fn drop_those(&self, which: impl Fn(&Issued<T>) -> bool) {
        let mut issued = self.0.lock();
        if issued.is_empty() {
            return;
        }
        let gone: Vec<_> = issued.extract_if(|_, issued| which(issued)).collect();
        drop(issued);
        // Dropping what they stand for may take other locks.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_not_after_its_file_is_closed() {
        let tickets = Tickets::default();
        let (first, second) = (tickets.issue(1, "a").unwrap(), tickets.issue(2, "b").unwrap());
        assert_eq!(tickets.take(&first), Some("a"));
        assert_eq!(tickets.take(&first), None);
        tickets.void(2);
        assert_eq!(tickets.take(&second), None);
        assert_eq!(tickets.take(&Ticket::default()), None);
    }

    #[test]
    fn tickets_that_nobody_uses_are_bounded() {
        let tickets = Tickets::default();
        let issued = (0..=TICKETS_MAX as u64).map(|handle| tickets.issue(handle, ()));
        assert_eq!(issued.filter(|ticket| ticket.is_err()).count(), 1);
    }
}
