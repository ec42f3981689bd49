//! Threads for what has to wait, since those that read requests must not.
//!
//! There are two lanes, and a task of the first never waits for one of the second: [`Lane::Ask`] waits for names
//! only; [`Lane::Settle`] also for the kernel to drop pages, which may wait for a page that is being read, which may wait
//! for a size to be asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

/// Every task is one request of a process that waits, so only as many can come as there are threads on the machine.
const TASKS_MAX: usize = 1 << 16;

type Task = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Ask,
    Settle,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn next(&self) -> Option<Task> {
        let mut queue = self.queue.lock();
        self.changed.wait_while(&mut queue, |queue| queue.tasks.is_empty() && !queue.ended);
        queue.tasks.pop_front()
    }

    /// Gives the task back when there is no room.
    fn push(&self, task: Task) -> Result<(), Task> {
        let mut queue = self.queue.lock();
        if queue.ended || queue.tasks.len() >= TASKS_MAX {
            return Err(task);
        }
        queue.tasks.push_back(task);
        self.changed.notify_one();
        Ok(())
    }
}

pub(super) struct Lanes {
    ask: Arc<Shared>,
    settle: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Lanes {
    pub(super) fn start(threads_each: usize) -> std::io::Result<Self> {
        let lanes = Self { ask: Arc::default(), settle: Arc::default(), threads: Mutex::default() };
        for (name, shared) in [("ask", &lanes.ask), ("settle", &lanes.settle)] {
            for number in 0..threads_each {
                let shared = Arc::clone(shared);
                let thread = std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                    while let Some(task) = shared.next() {
                        task();
                    }
                })?;
                lanes.threads.lock().push(thread);
            }
        }
        Ok(lanes)
    }

    /// False, and the task is dropped, when too many wait already.
    pub(super) fn run(&self, lane: Lane, task: impl FnOnce() + Send + 'static) -> bool {
        let shared = match lane {
            Lane::Ask => &self.ask,
            Lane::Settle => &self.settle,
        };
        let taken = shared.push(Box::new(task)).is_ok();
        if !taken {
            tracing::warn!(?lane, "too many requests wait; one was refused");
        }
        taken
    }

    /// Ends the threads after what they have begun and what waits.
    pub(super) fn end(&self) {
        for shared in [&self.ask, &self.settle] {
            shared.queue.lock().ended = true;
            shared.changed.notify_all();
        }
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that served requests had panicked");
            }
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_lane_goes_on_while_all_threads_of_the_other_wait() {
        let lanes = Lanes::start(1).unwrap();
        let (asked, settle_waits_for) = channel();
        let (settled, told) = channel();
        assert!(lanes.run(Lane::Settle, move || {
            settle_waits_for.recv().unwrap();
            settled.send(()).unwrap();
        }));
        assert!(lanes.run(Lane::Ask, move || asked.send(()).unwrap()));
        told.recv().unwrap();
    }

    #[test]
    fn what_waits_is_done_before_the_end_and_nothing_is_taken_after_it() {
        let lanes = Lanes::start(1).unwrap();
        let (tell, told) = channel();
        for number in 0..3 {
            let tell = tell.clone();
            assert!(lanes.run(Lane::Ask, move || tell.send(number).unwrap()));
        }
        lanes.end();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(!lanes.run(Lane::Ask, || {}));
    }
}
