//! Processes are killed by the hundred while others go on; then everything must add up: what was added, every page on every node
//! and surface, no attached process and no memory left over.

use std::io;
use std::time::{Duration, Instant};

use super::case::{Case, number};
use super::run::{Plan, Trouble};
use super::victim::{Control, SURVIVORS_AT, VICTIMS_AT, Word};
use crate::shared::calls;
use crate::shared::clock::nap;
use crate::shared::surface::Surface;
use crate::shared::team::{Silence, Worker};

const SURVIVORS: usize = 3;
/// One access, whoever is killed meanwhile.
const ACCESS_NS_MAX: u64 = 5_000_000_000;
const GLANCE: Duration = Duration::from_millis(500);
const GLANCE_NS: u64 = 5_000_000;

/// What was done.
#[derive(Debug)]
pub struct Done {
    pub killed: u64,
    pub added: u64,
    pub survivors: Vec<u64>,
    pub longest_us: u64,
    pub touched_us: Vec<u64>,
}

/// So many kills, shared by the nodes; `alive` is called while there is progress.
pub fn storm(plan: &Plan, kills: u64, alive: impl Fn(&str)) -> Result<Done, Trouble> {
    let before = numbers(plan)?;
    let mut case = Case::new(plan, 0)?;
    let control = Control::new().map_err(|source| Trouble::Io { doing: "share memory".into(), source })?;
    let mut survivors = Vec::new();
    for worker in 0..SURVIVORS {
        let (node, surface) = (case.node_of(worker), plan.surfaces.of(worker, case.nodes()));
        let mut survivor = case.start_on(surface, "storm", &[control.path()])?;
        survivor.order(&format!("endure {node} {}", case.file));
        survivors.push(survivor);
    }
    rage(&mut case, &control, kills, &alive)?;
    control.add(Word::Stop, 1);
    alive("waiting for those who live on");
    let told = |worker| move |what| Trouble::Worker { worker, node: worker, what };
    let ended = survivors.iter_mut().enumerate();
    let survived: Vec<_> = ended
        .map(|(worker, survivor)| number(survivor, plan.patience).map_err(told(worker)))
        .collect::<Result<_, _>>()?;
    survivors.clear();
    alive("looking at what is left");
    add_up(&mut case, &control, survived.iter().sum())?;
    let touched_us = touch(&case, &control)?;
    case.disband();
    case.end()?;
    if let Some(before) = before {
        alive("waiting until nothing is left");
        nothing_left(plan, &before)?;
    }
    let longest_us = control.get(Word::LongestNs) / 1000;
    let (killed, added) = (control.get(Word::Killed), control.get(Word::Added));
    Ok(Done { killed, added, survivors: survived, longest_us, touched_us })
}

/// A process on each node starts others and kills them.
fn rage(case: &mut Case<'_>, control: &Control, kills: u64, alive: &impl Fn(&str)) -> Result<(), Trouble> {
    let nodes = case.nodes();
    let mut killers = Vec::new();
    for node in 0..nodes {
        let mut killer =
            case.start_on(case.plan.surfaces.of(nodes + node, nodes), "storm", &[control.path()])?;
        let (share, seed) = (kills / nodes as u64, case.plan.seed << 8 | node as u64);
        killer.order(&format!("kill {node} {} {share} {seed}", case.file));
        killers.push(killer);
    }
    for (node, killer) in killers.iter_mut().enumerate() {
        let told = |what| Trouble::Worker { worker: SURVIVORS + node, node, what };
        patiently(killer, control, case.plan.patience, alive).map_err(told)?;
    }
    Ok(())
}

/// Waits as long as anybody is killed.
fn patiently(
    killer: &mut Worker,
    control: &Control,
    patience: Duration,
    alive: &impl Fn(&str),
) -> Result<(), String> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        match killer.answer(Instant::now() + GLANCE) {
            Ok(answer) => return answer.parse::<u64>().map(drop).map_err(|_| answer),
            Err(Silence::Hangs) => {
                let killed = control.get(Word::Killed);
                if killed != seen {
                    (seen, since) = (killed, Instant::now());
                    alive(&format!("a storm, {killed} killed"));
                } else if since.elapsed() > patience {
                    return Err(format!("nobody was killed for {patience:?}, after {killed}"));
                }
            }
            Err(silence) => return Err(silence.to_string()),
        }
    }
}

fn add_up(case: &mut Case<'_>, control: &Control, survived: u64) -> Result<(), Trouble> {
    let (added, killed) = (control.get(Word::Added), control.get(Word::Killed));
    for node in 0..case.plan.folders.len() {
        let found = case.sum(node, SURVIVORS_AT)?;
        if found != survived {
            return Err(case.lost(node, "what was added by those who live on", found, survived));
        }
        let found = case.sum(node, VICTIMS_AT)?;
        if found < added || found > added + killed {
            return Err(case.lost(node, "what was added by those who were killed", found, added));
        }
    }
    let longest_ns = control.get(Word::LongestNs);
    if longest_ns > ACCESS_NS_MAX {
        return Err(case.lost(0, "the longest access in ns", longest_ns, ACCESS_NS_MAX));
    }
    Ok(())
}

/// Everybody who comes now is answered; gives how long the slowest page took, for each surface on each node.
fn touch(case: &Case<'_>, control: &Control) -> Result<Vec<u64>, Trouble> {
    let mut slowest_us = Vec::new();
    for surface in [Surface::File].into_iter().chain(case.plan.surfaces.distinct()) {
        let mut worker = case.start_on(surface, "storm", &[control.path()])?;
        for node in 0..case.plan.folders.len() {
            worker.order(&format!("touch {node} {}", case.file));
            let told =
                |what| Trouble::Worker { worker: 0, node, what: format!("{}: {what}", surface.name()) };
            slowest_us.push(number(&mut worker, case.plan.patience).map_err(told)? / 1000);
        }
    }
    Ok(slowest_us)
}

/// Programs that share a node's memory, and the memory that is used.
type Numbers = Vec<(u64, u64)>;

/// Of the nodes; they have none if nothing but their mounts is used, which may be any file system's.
fn numbers(plan: &Plan) -> Result<Option<Numbers>, Trouble> {
    if !plan.surfaces.distinct().contains(&Surface::Vm) {
        return Ok(None);
    }
    let told = |source: io::Error| Trouble::Io { doing: "ask a node for its numbers".into(), source };
    let of = |folder| calls::info(folder).map(|info| (info.attached.into(), info.memory_used)).map_err(told);
    plan.folders.iter().map(|folder| of(folder)).collect::<Result<_, _>>().map(Some)
}

fn nothing_left(plan: &Plan, before: &Numbers) -> Result<(), Trouble> {
    let deadline = Instant::now() + plan.patience;
    loop {
        let now = numbers(plan)?.unwrap_or_default();
        let mut pairs = now.iter().zip(before).enumerate();
        let left = pairs.find_map(|(node, (now, before))| match (now.0 > before.0, now.1 > before.1) {
            (true, _) => Some((node, "attached programs", now.0)),
            (_, true) => Some((node, "bytes of memory in use that it had not", now.1 - before.1)),
            _ => None,
        });
        match left {
            None => return Ok(()),
            Some((node, what, left)) if Instant::now() > deadline => {
                return Err(Trouble::Left { node, what, left });
            }
            Some(_) => nap(GLANCE_NS),
        }
    }
}
