//! When requests are over at the latest. One thread of a membership sleeps until the next is due.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::ids::Token;

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    in_order: BTreeSet<(Instant, Token)>,
}

impl Deadlines {
    /// True when it is the first that is due.
    pub(super) fn set(&mut self, at: Instant, token: Token) -> bool {
        self.in_order.insert((at, token));
        self.in_order.first() == Some(&(at, token))
    }

    pub(super) fn forget(&mut self, at: Instant, token: Token) {
        self.in_order.remove(&(at, token));
    }

    /// One that is due, or how long until the next is.
    pub(super) fn next(&mut self, now: Instant) -> Result<Token, Option<Duration>> {
        match self.in_order.first().copied() {
            Some((at, token)) if at <= now => {
                self.in_order.pop_first();
                Ok(token)
            }
            Some((at, _)) => Err(Some(at - now)),
            None => Err(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_what_was_forgotten_never() {
        let (mut deadlines, now) = (Deadlines::default(), Instant::now());
        let after = |ms| now + Duration::from_millis(ms);
        assert!(deadlines.set(after(20), Token(1)));
        assert!(deadlines.set(after(10), Token(2)));
        assert!(!deadlines.set(after(15), Token(3)));
        assert_eq!(deadlines.next(now), Err(Some(Duration::from_millis(10))));
        deadlines.forget(after(15), Token(3));
        assert_eq!(deadlines.next(after(30)), Ok(Token(2)));
        assert_eq!(deadlines.next(after(30)), Ok(Token(1)));
        assert_eq!(deadlines.next(after(30)), Err(None));
    }
}
