//! One list played by several processes, one for each directory, that take turns: what they are told, and one of them.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::play::{Node, Order, Player, Wrong};
use super::steps::{Step, Steps};
use crate::shared::surface::Surface;

/// What a process that plays is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Play all of it.
    Alone(Order),
    /// Be the hands of one directory on a file that is there.
    Join {
        node: usize,
        name: String,
        order: Order,
    },
    /// The kept step at this place.
    Turn {
        at: usize,
        turn: Turn,
    },
    Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Do,
    See,
}

impl Task {
    pub fn line(&self) -> String {
        match self {
            Self::Alone(order) => format!("alone {}", order.line()),
            Self::Join { node, name, order } => format!("join {node} {name} {}", order.line()),
            Self::Turn { at, turn: Turn::Do } => format!("do {at}"),
            Self::Turn { at, turn: Turn::See } => format!("see {at}"),
            Self::Part => "part".into(),
        }
    }

    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "alone" => Self::Alone(Order::parse(rest)?),
            "join" => {
                let (node, rest) = rest.split_once(' ')?;
                let (name, order) = rest.split_once(' ')?;
                Self::Join { node: node.parse().ok()?, name: name.into(), order: Order::parse(order)? }
            }
            "do" => Self::Turn { at: rest.parse().ok()?, turn: Turn::Do },
            "see" => Self::Turn { at: rest.parse().ok()?, turn: Turn::See },
            "part" => Self::Part,
            _ => return None,
        })
    }
}

/// One directory's part in a list that several processes play: its own model follows everybody's steps.
pub(super) struct Member {
    player: Player,
    steps: Vec<Step>,
    /// How many of the steps the model has followed.
    followed: usize,
}

impl Member {
    pub(super) fn new(
        surface: Surface,
        folders: &[PathBuf],
        node: usize,
        name: &str,
        order: &Order,
    ) -> io::Result<Self> {
        let list = Steps::new(order.seed, order.count, folders.len(), order.maps);
        let folder = folders.get(node).ok_or(io::ErrorKind::NotFound)?;
        let nodes = [(node, Node::open(surface, folder.join(name), list.size_max)?)].into();
        let player = Player::of(nodes, order.maps, list.size_max);
        let steps = order.kept.iter().filter_map(|index| list.steps.get(*index).copied()).collect();
        Ok(Self { player, steps, followed: 0 })
    }

    pub(super) fn take(&mut self, at: usize, turn: Turn) -> Result<(), Wrong> {
        self.follow(at);
        let Some(step) = self.steps.get(at).copied() else {
            // Behind the last one.
            let own = *self.player.nodes.keys().next().ok_or(Errno::BADF)?;
            return self.player.compare_all(own);
        };
        match turn {
            Turn::Do => self.player.perform(&step),
            Turn::See => {
                self.follow(at + 1);
                self.player.witness(&step)
            }
        }
    }

    fn follow(&mut self, to: usize) {
        while let Some(step) = self.steps.get(self.followed).filter(|_| self.followed < to) {
            self.player.follow(step);
            self.followed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_survives_its_line() {
        let order = Order { seed: 7, count: 100, maps: true, kept: vec![0, 5, 99] };
        let join = Task::Join { node: 2, name: "file".into(), order: order.clone() };
        let turn = |turn| Task::Turn { at: 5, turn };
        for task in [Task::Alone(order), join, turn(Turn::Do), turn(Turn::See), Task::Part] {
            assert_eq!(Task::parse(&task.line()), Some(task));
        }
        assert_eq!(Task::parse("do something"), None);
    }
}
