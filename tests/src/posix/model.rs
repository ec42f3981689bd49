//! What the file should hold: plain bytes.

use super::steps::{Op, PAGE, Step};

#[derive(Clone, Debug)]
pub struct Model {
    bytes: Vec<u8>,
    size_max: usize,
}

impl Model {
    pub fn new(size_max: u64) -> Self {
        Self { bytes: Vec::new(), size_max: size_max as usize }
    }

    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes of a range, as far as the file reaches.
    pub fn range(&self, at: u64, bytes: u64) -> &[u8] {
        let end = self.bytes.len().min((at + bytes) as usize);
        self.bytes.get(at as usize..end).unwrap_or_default()
    }

    /// How many bytes `Append` adds: none that the file has no room for.
    pub fn appends(&self, step: &Step) -> u64 {
        step.bytes.min((self.size_max - self.bytes.len()) as u64)
    }

    /// How many zeros follow the end of the file on its last page.
    pub fn tail(&self) -> u64 {
        self.size().next_multiple_of(PAGE) - self.size()
    }

    pub fn apply(&mut self, step: &Step) {
        match step.op {
            Op::Write => {
                self.grow(step.end());
                self.fill(step, step.at, step.end());
            }
            Op::MapWrite => self.fill(step, step.at, step.end().min(self.size())),
            Op::Append => {
                let (at, end) = (self.size(), self.size() + self.appends(step));
                self.grow(end);
                self.fill(step, at, end);
            }
            Op::Resize => self.bytes.resize(step.at as usize, 0),
            Op::Empty => self.bytes.clear(),
            Op::Punch => {
                let end = self.bytes.len().min(step.end() as usize);
                if let Some(hole) = self.bytes.get_mut(step.at as usize..end) {
                    hole.fill(0);
                }
            }
            Op::Allocate => self.grow(step.end()),
            _ => (),
        }
    }

    fn grow(&mut self, size: u64) {
        self.bytes.resize(self.bytes.len().max(size as usize), 0);
    }

    fn fill(&mut self, step: &Step, at: u64, end: u64) {
        for position in at..end {
            self.bytes[position as usize] = step.byte(position);
        }
    }

    /// Whether a seek for data may have answered this: only zeros are passed over.
    pub fn may_be_data(&self, at: u64, answer: Option<u64>) -> bool {
        let end = answer.unwrap_or(self.size());
        end >= at.min(self.size())
            && end <= self.size()
            && self.range(at, end.saturating_sub(at)).iter().all(|b| *b == 0)
    }

    /// Whether a seek for a hole may have answered this: the end of the file is one.
    pub fn may_be_hole(&self, at: u64, answer: Option<u64>) -> bool {
        match answer {
            None => at >= self.size(),
            Some(hole) => hole >= at && (hole == self.size() || self.range(hole, 1) == [0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(op: Op, at: u64, bytes: u64) -> Step {
        Step { index: 1, node: 0, op, at, bytes, witness: 0, witness_maps: false }
    }

    #[test]
    fn the_file_grows_with_zeros_and_shrinks() {
        let mut model = Model::new(100);
        model.apply(&step(Op::Write, 10, 5));
        assert_eq!(model.range(0, 10), [0; 10]);
        assert_eq!((model.size(), model.range(10, 100).len(), model.tail()), (15, 5, PAGE - 15));
        model.apply(&step(Op::Resize, 12, 1));
        model.apply(&step(Op::Allocate, 0, 20));
        assert_eq!(model.range(12, 8), [0; 8]);
        model.apply(&step(Op::MapWrite, 15, 50));
        assert_eq!(model.size(), 20);
        model.apply(&step(Op::Append, 0, 500));
        assert_eq!(model.size(), 100);
        model.apply(&step(Op::Punch, 50, 500));
        assert_eq!(model.range(50, 500), [0; 50]);
    }

    #[test]
    fn seeks_pass_over_zeros_only() {
        let mut model = Model::new(100);
        model.apply(&step(Op::Write, 10, 5));
        assert!(model.may_be_data(0, Some(10)) && model.may_be_data(0, Some(0)));
        assert!(
            !model.may_be_data(0, Some(11)) && !model.may_be_data(0, None) && model.may_be_data(15, None)
        );
        assert!(
            model.may_be_hole(0, Some(0)) && model.may_be_hole(0, Some(15)) && model.may_be_hole(15, None)
        );
        assert!(!model.may_be_hole(0, Some(12)) && !model.may_be_hole(0, None));
    }
}
