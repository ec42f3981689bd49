//! The holder's part, continued: what other members say about a page that this one holds, wants or has given away.

use super::engine::{Engine, Turn, mutant};
use super::held::Duty;
use super::holder::event_of;
use super::ids::{MemberNo, Mode, PageId};
use super::input::{Effect, Violation};
use super::message::{Body, Confirm, Data, Grant, Order};
use super::page_state::{PageEvent, PageState};

impl Engine {
    pub(super) fn on_order(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, order: Order) {
        if self.home_of(page) != Some(from) {
            return turn.distrust(from, page, Violation::NotHome);
        }
        let held = self.held.entry(page).or_default();
        if let Err(why) = held.state.on(event_of(order.task)) {
            turn.distrust(from, page, why);
        } else if held.busy().duty.is_some() {
            turn.distrust(from, page, Violation::Unasked);
        } else {
            held.busy().duty = Some(Duty { order, from });
        }
        self.advance(turn, page);
    }

    pub(super) fn on_grant(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, grant: Grant) {
        match grant.mode {
            Mode::Read => self.on_grant_read(turn, from, page, grant),
            Mode::Write => self.on_grant_write(turn, from, page, grant),
        }
        self.advance(turn, page);
    }

    fn on_grant_read(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, grant: Grant) {
        if grant.data == Data::Kept {
            return turn.distrust(from, page, Violation::Unasked);
        }
        if !self.change(turn, from, page, PageEvent::GrantRead) {
            return;
        }
        turn.effects.push(match grant.data {
            Data::Carried => Effect::Fill { page },
            Data::Zero | Data::Kept => Effect::Zero { page },
        });
        self.won(turn, page, grant.version);
        self.confirm(turn, page, grant.confirm, from);
    }

    fn on_grant_write(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, grant: Grant) {
        let held = self.held.entry(page).or_default();
        let fits = match held.state {
            PageState::AskWrite => grant.data != Data::Kept,
            PageState::SharedAskWrite => grant.data == Data::Kept,
            _ => false,
        };
        let busy = held.busy();
        if !fits || busy.acks_due.is_some() {
            return turn.distrust(from, page, Violation::Unasked);
        }
        busy.acks_due = Some(grant.acks);
        busy.confirm = Some((grant.confirm, from));
        busy.zero = grant.data == Data::Zero;
        held.version = grant.version;
        if grant.data == Data::Carried {
            turn.effects.push(Effect::Fill { page });
            self.change(turn, from, page, PageEvent::DataWrite);
        }
        self.complete(turn, page);
    }

    pub(super) fn on_ack(&mut self, turn: &mut Turn, from: MemberNo, page: PageId) {
        let lose_early = mutant!(self, LoseEarlyAck);
        let held = self.held.entry(page).or_default();
        if matches!(held.state, PageState::AskWrite | PageState::Arrived | PageState::SharedAskWrite) {
            let busy = held.busy();
            let lost = lose_early && busy.acks_due.is_none();
            busy.acks = busy.acks.saturating_add(u16::from(!lost));
            self.complete(turn, page);
        } else {
            turn.distrust(from, page, Violation::Unasked);
        }
        self.advance(turn, page);
    }

    /// A writer has won once the page and every acknowledgement are here.
    fn complete(&mut self, turn: &mut Turn, page: PageId) {
        let early = mutant!(self, WriteBeforeAcks);
        let one_less = u16::from(mutant!(self, OneAckLess));
        let Some(held) = self.held.get_mut(&page) else { return };
        let version = held.version;
        let busy = held.busy();
        let Some(due) = busy.acks_due else { return };
        if busy.acks < due.saturating_sub(one_less) && !early {
            return;
        }
        busy.acks_due = None;
        busy.acks = 0;
        let (zero, confirm) = (std::mem::take(&mut busy.zero), busy.confirm.take());
        if zero {
            turn.effects.push(Effect::Zero { page });
        }
        self.change(turn, self.me, page, PageEvent::GrantWrite);
        self.won(turn, page, version);
        if let Some((confirm, giver)) = confirm {
            self.confirm(turn, page, confirm, giver);
        }
    }

    /// From here on the page stays for the hold time, and for the request that it was asked for.
    fn won(&mut self, turn: &mut Turn, page: PageId, version: u64) {
        let hold_until = self.hold_until(turn.now);
        let Some(held) = self.held.get_mut(&page) else { return };
        held.version = version;
        let busy = held.busy();
        busy.owed = !busy.waiters.is_empty();
        if busy.owed {
            held.hold_until = hold_until;
        }
    }

    fn confirm(&mut self, turn: &mut Turn, page: PageId, confirm: Confirm, giver: MemberNo) {
        match confirm {
            Confirm::Nobody => {}
            _ if mutant!(self, DontConfirm) => {}
            Confirm::Giver => self.send(turn, giver, page, Body::Got),
            Confirm::Home => self.send_home(turn, page, Body::Done),
        }
    }

    /// What was given away has arrived. Only now may the home go on: so outside of a transfer nobody keeps history.
    pub(super) fn on_got(&mut self, turn: &mut Turn, from: MemberNo, page: PageId) {
        let held = self.held.entry(page).or_default();
        if held.busy().taker != Some(from) {
            turn.distrust(from, page, Violation::Unasked);
        } else if self.change(turn, from, page, PageEvent::Release) {
            self.forget_ceded(turn, page);
            if !mutant!(self, GiverStaysSilent) {
                self.send_home(turn, page, Body::Done);
            }
        }
        self.advance(turn, page);
    }

    /// After a change of epoch the home knows how a transfer that was cut short has ended.
    pub(super) fn on_settle(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, keep: bool) {
        if self.home_of(page) != Some(from) {
            return turn.distrust(from, page, Violation::NotHome);
        }
        let event = if keep { PageEvent::Keep } else { PageEvent::Release };
        if self.change(turn, from, page, event) {
            if keep {
                self.held.entry(page).or_default().busy().taker = None;
            } else {
                self.forget_ceded(turn, page);
            }
            self.send_home(turn, page, Body::Done);
        }
        self.advance(turn, page);
    }

    fn forget_ceded(&mut self, turn: &mut Turn, page: PageId) {
        self.held.entry(page).or_default().busy().taker = None;
        turn.effects.push(Effect::Free { page });
    }

    pub(super) fn on_refuse(&mut self, turn: &mut Turn, from: MemberNo, page: PageId) {
        if self.change(turn, from, page, PageEvent::Refuse) {
            self.fail_waiters(turn, page);
        }
        self.advance(turn, page);
    }
}
