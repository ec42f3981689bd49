//! When nothing happens by itself any more: who waits may do so, and can be woken; then nothing is left.

use scifs::coherence::MemberNo;
use scifs::sync::{Input, Refusal, Token, WaiterId, Word};

use super::{Sim, Thread, What};
use crate::waiting::thread::Doing;
use crate::waiting::violation::Violation;

impl Sim {
    /// Wakes whoever waits until nobody does.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        loop {
            let waiting = self.waiting();
            self.oracle
                .check_waiting(&waiting, |word| self.values.get(&word).copied().unwrap_or_default())?;
            if waiting.is_empty() {
                break;
            }
            let mut stuck = 0;
            for (id, doing) in &waiting {
                let (node, token) = (id.node.0 as usize, id.token);
                match doing {
                    Doing::Wait { word, .. } => {
                        *self.values.entry(*word).or_default() += 1;
                        self.notify_all(node, *word)?;
                    }
                    Doing::Arrive { .. } => {
                        self.at(1, node, What::Withdraw { token, why: Refusal::Interrupted })
                    }
                    Doing::Notify { .. } => stuck += 1,
                }
            }
            self.go()?;
            let left = self.waiting();
            if stuck > 0 || waiting.keys().any(|id| left.contains_key(id)) {
                return Err(Violation::Endless(
                    left.len(),
                    left.keys().next().map_or(0, |id| id.node.0 as usize),
                ));
            }
        }
        self.check_quiet()
    }

    fn notify_all(&mut self, node: usize, word: Word) -> Result<(), Violation> {
        self.nodes[node].tokens += 1;
        let token = Token(self.nodes[node].tokens);
        let written = Some(self.value(word));
        let doing = Some(Doing::Notify { word, count: u32::MAX, written });
        self.nodes[node].threads.push(Thread { left: 0, doing, token: Some(token) });
        let by = WaiterId { node: MemberNo(node as u32), token };
        self.oracle.notifies(by, word, u32::MAX, Vec::new());
        self.handle(node, Input::Notify { word, count: u32::MAX, token })
    }

    fn check_quiet(&self) -> Result<(), Violation> {
        for (no, node) in self.nodes.iter().enumerate() {
            let Some(engine) = &node.engine else { continue };
            if engine.requests() > 0 {
                return Err(Violation::Endless(engine.requests(), no));
            }
            if !engine.is_settled() || engine.queues().next().is_some() {
                return Err(Violation::Remains(no));
            }
        }
        let lives = |id: &WaiterId| {
            self.nodes
                .get(id.node.0 as usize)
                .is_some_and(|n| n.engine.is_some() && id.token.0 >= n.first_token)
        };
        self.oracle.check_rounds(lives, |key| self.parties_of(key))?;
        if self.setup.misfortunes == 0 { self.oracle.check_counts() } else { Ok(()) }
    }
}
