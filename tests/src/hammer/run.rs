//! Starts the processes of each case, and looks at what they left in the file, from every directory and through every surface.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::case::Case;
use super::work::{DEPTH_AT, ENTRIES_AT, SLOTS_AT, SUM_AT, Work};
use crate::model::random::Random;
use crate::shared::clock::wait_until;
use crate::shared::surface::{Nodes, Surfaces};

/// Of the increments, with two writers.
const SHARE_OF_TWO_PERCENT_MIN: u64 = 40;
/// Of its fair share, with more: they also compete for processors.
const SHARE_OF_FAIR_PERCENT_MIN: u64 = 25;
const FAIR_WITHIN_ROUNDS: u32 = 4;

#[derive(Clone, Debug)]
pub struct Plan {
    pub folders: Vec<PathBuf>,
    pub surfaces: Surfaces,
    pub place: Nodes,
    pub wall: Duration,
    pub patience: Duration,
    pub seed: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("worker {worker} on node {node}: {what}")]
    Worker { worker: usize, node: usize, what: String },
    #[error("{where_}: {what} is {found} and should be {expected}")]
    Lost { where_: String, what: &'static str, found: u64, expected: u64 },
    #[error("worker {worker} got {done} of {total} turns: somebody starves it")]
    Starved { worker: usize, done: u64, total: u64 },
    #[error("{0} processes are more than fit on the page")]
    TooMany(usize),
    #[error("node {node} still has {what} after everybody is gone: {left}")]
    Left { node: usize, what: &'static str, left: u64 },
}

/// All processes at once until the time is over; returns what each did. Somebody who got less than a fair share may have been
/// short of processors for a moment: who is starved by us is so in the sum of some rounds, too.
pub fn hammer(plan: &Plan, work: Work, processes: usize) -> Result<Vec<u64>, Trouble> {
    let mut all = vec![0; processes];
    let mut round = 1;
    loop {
        let done = one_round(plan, work, processes)?;
        all.iter_mut().zip(done).for_each(|(all, done)| *all += done);
        // Processes with the same memory on one machine: who gets the processor says nothing about us.
        let moves = plan.place == Nodes::Different || plan.surfaces.turns() > 1;
        if !moves || !matches!(work, Work::Add | Work::Slots) {
            return Ok(all);
        }
        match fair(&all) {
            Err(Trouble::Starved { .. }) if round < FAIR_WITHIN_ROUNDS => round += 1,
            judged => return judged.map(|()| all),
        }
    }
}

fn one_round(plan: &Plan, work: Work, processes: usize) -> Result<Vec<u64>, Trouble> {
    let mut case = Case::new(plan, processes)?;
    let (start_ns, end_ns) = case.times();
    for worker in 0..processes {
        case.order(work, worker, start_ns, end_ns);
    }
    let mut done = Vec::new();
    for worker in 0..processes {
        done.push(case.answer(worker, end_ns)?);
    }
    check(&mut case, work, &done)?;
    case.end()?;
    Ok(done)
}

/// One process after the other is killed somewhere in its work, and a new one takes its place; the first two live on. Returns
/// how many were killed.
pub fn hammer_and_kill(plan: &Plan) -> Result<u64, Trouble> {
    let processes = 4;
    let mut case = Case::new(plan, processes)?;
    let (start_ns, end_ns) = case.times();
    let mut random = Random::new(plan.seed);
    (0..processes).for_each(|worker| case.order(Work::Wander, worker, start_ns, end_ns));
    let (mut at_ns, mut killed) = (start_ns, 0);
    while at_ns < end_ns {
        at_ns += random.between(1_000_000, 60_000_000);
        wait_until(at_ns.min(end_ns));
        let victim = random.between(2, processes as u64) as usize;
        case.workers[victim] = case.start(victim)?;
        killed += 1;
        case.order(Work::Wander, victim, start_ns, end_ns);
    }
    let survivors = case.answer(0, end_ns)? + case.answer(1, end_ns)?;
    for victim in 2..processes {
        case.answer(victim, end_ns)?;
    }
    for node in 0..plan.folders.len() {
        let words = case.sum(node, 0)?;
        if words < survivors {
            return Err(case.lost(node, "the sum of all counters", words, survivors));
        }
    }
    case.end()?;
    Ok(killed)
}

/// What is in the file after all have ended, as every node sees it.
fn check(case: &mut Case<'_>, work: Work, done: &[u64]) -> Result<(), Trouble> {
    let total = done.iter().sum();
    for node in 0..case.plan.folders.len() {
        match work {
            Work::Add | Work::Tickets => case.expect(node, "the counter", work.total_at(), total)?,
            Work::Slots => {
                for (worker, done) in done.iter().enumerate() {
                    case.expect(node, "a slot", SLOTS_AT + 8 * worker, *done)?;
                }
            }
            Work::Stack => {
                let depth = case.word(node, DEPTH_AT)?;
                let entries = (0..depth as usize).map(|index| case.word(node, ENTRIES_AT + 16 * index));
                let sum = entries.sum::<Result<u64, _>>()?;
                case.expect(node, "the stack's sum", SUM_AT, sum)?;
            }
            Work::Wander => {
                let sum = case.sum(node, 0)?;
                if sum != total {
                    return Err(case.lost(node, "the sum of all counters", sum, total));
                }
            }
        }
    }
    Ok(())
}

fn fair(done: &[u64]) -> Result<(), Trouble> {
    let total: u64 = done.iter().sum();
    let least = match done.len() {
        2 => total * SHARE_OF_TWO_PERCENT_MIN / 100,
        many => total / many as u64 * SHARE_OF_FAIR_PERCENT_MIN / 100,
    };
    match done.iter().position(|done| *done < least || *done == 0) {
        None => Ok(()),
        Some(worker) => Err(Trouble::Starved { worker, done: done[worker], total }),
    }
}

#[cfg(test)]
mod tests {
    use super::fair;

    #[test]
    fn two_writers_share_and_many_do_not_starve() {
        assert!(fair(&[40, 60]).is_ok() && fair(&[39, 61]).is_err());
        assert!(fair(&[10, 50, 50, 50]).is_ok() && fair(&[5, 50, 50, 50]).is_err());
        assert!(fair(&[0, 0]).is_err());
    }
}
