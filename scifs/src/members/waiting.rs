//! Requests of programs under way, each with whom to tell; some can be interrupted by the kernel's number for them.

use std::collections::HashMap;

use crate::coherence::Token;

pub(crate) struct Waiting<D> {
    tokens: u64,
    requests: HashMap<Token, (D, Option<u64>)>,
    uniques: HashMap<u64, Token>,
    ended: bool,
}

impl<D> Default for Waiting<D> {
    fn default() -> Self {
        Self { tokens: 0, requests: HashMap::new(), uniques: HashMap::new(), ended: false }
    }
}

impl<D> Waiting<D> {
    /// Gives it back when the membership is over.
    pub(crate) fn begin(&mut self, done: D, unique: Option<u64>) -> Result<Token, D> {
        if self.ended {
            return Err(done);
        }
        self.tokens += 1;
        let token = Token(self.tokens);
        self.requests.insert(token, (done, unique));
        if let Some(unique) = unique {
            self.uniques.insert(unique, token);
        }
        Ok(token)
    }

    pub(crate) fn get(&self, token: Token) -> Option<&D> {
        self.requests.get(&token).map(|(done, _)| done)
    }

    pub(crate) fn by_unique(&self, unique: u64) -> Option<Token> {
        self.uniques.get(&unique).copied()
    }

    pub(crate) fn end(&mut self, token: Token) -> Option<D> {
        let (done, unique) = self.requests.remove(&token)?;
        if let Some(unique) = unique {
            self.uniques.remove(&unique);
        }
        Some(done)
    }

    /// The membership is over: nothing is taken any more. Gives all that wait.
    pub(crate) fn end_all(&mut self) -> Vec<D> {
        self.ended = true;
        self.uniques.clear();
        self.requests.drain().map(|(_, (done, _))| done).collect()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }
}
