//! One question to all other members at once, and the answer of each.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use scios::NodeId;
use scios::rpc::codec::Request;
use scios::rpc::{CallError, Incoming, Responder};

use super::pages::Pages;

/// For the answers of all members together.
const DEADLINE: Duration = Duration::from_secs(2);

/// Members aren't all connected to each other from the start: how long to wait before one is asked again.
const PAUSE: Duration = Duration::from_millis(5);

type Answered<T> = (NodeId, Result<T, CallError>);

impl Pages {
    /// What each says; nothing for who did not answer in time. Waits, so not from a worker or a receiver.
    pub(super) fn ask_others<R: Request>(&self, question: &R) -> Vec<(NodeId, Option<R::Reply>)>
    where
        R::Reply: Send + 'static,
    {
        let deadline = Instant::now() + DEADLINE;
        let (tell, told) = channel();
        let mut all: Vec<_> = self.peers.roster().others().map(|node| (node, None)).collect();
        let mut left = all.len();
        all.iter().for_each(|(node, _)| self.ask_one(*node, question, deadline, &tell));
        while left > 0 {
            let wait = deadline.saturating_duration_since(Instant::now());
            let Ok((node, answer)) = told.recv_timeout(wait) else { break };
            match answer {
                Ok(answer) => {
                    left -= 1;
                    if let Some(known) = all.iter_mut().find(|known| known.0 == node) {
                        known.1 = Some(answer);
                    }
                }
                Err(CallError::PeerLost { .. }) if Instant::now() < deadline => {
                    self.peers.reach(node);
                    std::thread::sleep(PAUSE);
                    self.ask_one(node, question, deadline, &tell);
                }
                Err(error) => {
                    left -= 1;
                    tracing::warn!(%node, %error, "a member did not answer a question about pages");
                }
            }
        }
        all
    }

    fn ask_one<R: Request>(
        &self,
        node: NodeId,
        question: &R,
        deadline: Instant,
        tell: &Sender<Answered<R::Reply>>,
    ) where
        R::Reply: Send + 'static,
    {
        let tell = tell.clone();
        let wait = deadline.saturating_duration_since(Instant::now());
        self.rpc.call(node, question, &[], wait, move |answer| {
            // Whoever asked may have stopped waiting.
            let _ = tell.send((node, answer.map(|answer| answer.message)));
        });
    }
}

/// Answers a question of another member.
pub(super) fn answer<R: Request>(
    message: &Incoming<'_>,
    responder: Responder,
    reply: impl FnOnce(&R) -> R::Reply,
) {
    let answered = match message.decode::<R>() {
        Ok(question) => responder.reply(&reply(&question), &[]),
        Err(why) => return responder.malformed(&why.to_string()),
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "an answer about pages was not sent");
    }
}
