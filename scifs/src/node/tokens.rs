//! Requests that the engine will answer, by token. A slot is used again, with another number.

use crate::coherence::Token;

#[derive(Debug)]
pub(super) struct Tokens<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Tokens<T> {
    pub(super) fn put(&mut self, value: T) -> Token {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let Some((turn, slot)) = self.slots.get_mut(at as usize) else { return Token(u64::MAX) };
        *slot = Some(value);
        Token(u64::from(*turn) << 32 | u64::from(at))
    }

    pub(super) fn get(&self, token: Token) -> Option<&T> {
        let (turn, slot) = self.slots.get(token.0 as u32 as usize)?;
        slot.as_ref().filter(|_| u64::from(*turn) == token.0 >> 32)
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let (turn, slot) = self.slots.get_mut(token.0 as u32 as usize)?;
        slot.as_mut().filter(|_| u64::from(*turn) == token.0 >> 32)
    }

    pub(super) fn take(&mut self, token: Token) -> Option<T> {
        let at = token.0 as u32;
        let (turn, slot) = self.slots.get_mut(at as usize)?;
        let value = if u64::from(*turn) == token.0 >> 32 { slot.take() } else { None }?;
        *turn = turn.wrapping_add(1);
        self.free.push(at);
        Some(value)
    }

    pub(super) fn take_all(&mut self) -> Vec<T> {
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().filter_map(|(_, slot)| slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_also_when_its_slot_is_used_again() {
        let mut tokens = Tokens::default();
        let first = tokens.put("a");
        assert_eq!(tokens.get(first).copied(), Some("a"));
        assert_eq!(tokens.take(first), Some("a"));
        let second = tokens.put("b");
        assert_eq!(tokens.get(first), None);
        assert_eq!((tokens.take(first), tokens.take(Token(u64::MAX))), (None, None));
        assert_eq!(tokens.get(second), Some(&"b"));
        assert_eq!(tokens.take_all(), ["b"]);
    }
}
