//! What a comparison with a local file system can't show.

use super::*;

mod files;
mod orphans;
mod properties;
mod snapshots;

/// Names with two members, and a log that counts.
struct Log {
    names: Names,
    index: u64,
    events: Vec<Event>,
}

const START: i64 = 1000;

impl Log {
    fn new() -> Self {
        let now = Time { seconds: START, nanos: 0 };
        let mut names = Names::new(&Founding { uid: 0, gid: 0, mode: 0o755, now });
        assert!(names.set_members([1, 2].into()).is_empty());
        Self { names, index: 0, events: Vec::new() }
    }

    /// The time of the next command.
    fn now(&self) -> Time {
        Time { seconds: START + 1 + self.index as i64, nanos: 0 }
    }

    fn run(&mut self, command: &Command) -> Result<Answer, Refusal> {
        self.index += 1;
        let before = self.names.clone();
        let done = self.names.apply(self.index, command);
        if done.answer.is_err() {
            assert!(done.events.is_empty(), "a refusal is no event");
            self.names.applied = before.applied;
            assert_eq!(self.names, before, "a refusal changes nothing: {command:?}");
            self.names.applied = self.index;
        }
        self.events = done.events;
        done.answer
    }

    fn attr(&mut self, command: &Command) -> Attr {
        match self.run(command) {
            Ok(Answer::Attr(attr)) => attr,
            other => panic!("{command:?}: {other:?}"),
        }
    }

    fn make_in(&mut self, parent: Inode, name: &str, what: Make) -> Inode {
        let (name, now) = (name.into(), self.now());
        self.attr(&Command::Make { parent, name, what, mode: 0o644, uid: 1, gid: 1, now }).inode
    }

    fn file(&mut self, name: &str) -> Inode {
        self.make_in(ROOT, name, empty_file())
    }

    fn resize(&mut self, inode: Inode, size: u64) -> Result<Answer, Refusal> {
        let (changes, now) = (Changes { size: Some(size), ..Changes::default() }, self.now());
        self.run(&Command::SetAttr { inode, changes, now })
    }

    fn unlink(&mut self, name: &str) -> Result<Answer, Refusal> {
        let (name, now) = (name.into(), self.now());
        self.run(&Command::Unlink { parent: ROOT, name, now })
    }

    fn set_xattr(&mut self, inode: Inode, name: &[u8], value: &[u8]) -> Result<Answer, Refusal> {
        let (name, value, now) = (name.to_vec(), value.to_vec(), self.now());
        self.run(&Command::SetXattr { inode, name, value, setting: Setting::Either, now })
    }

    fn get_attr(&self, inode: Inode) -> Result<Attr, Refusal> {
        match self.names.query(&Query::GetAttr { inode })? {
            Found::Attr(attr) => Ok(attr),
            other => panic!("{other:?}"),
        }
    }

    fn info(&self, inode: Inode) -> FileInfo {
        match self.names.query(&Query::File { inode }) {
            Ok(Found::File(info)) => info,
            other => panic!("{other:?}"),
        }
    }
}

fn empty_file() -> Make {
    Make::File { consistency: Consistency::Strict, address: None, size: 0 }
}

fn pieces(list: &[(u32, u32)]) -> Vec<Piece> {
    list.iter()
        .map(|(first_page, generation)| Piece { first_page: *first_page, generation: *generation })
        .collect()
}
