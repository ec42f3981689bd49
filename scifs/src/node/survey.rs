//! Where a file's data is: asked of every member, as the home of some of its pages. For `lseek`.

use scios::rpc::codec::{DecodeError, Message, Reader, Request, Writer};

use super::fault::PageFault;
use super::file::File;
use super::layout::segment;
use super::pages::Pages;
use crate::coherence::{Holders, PageId, SegmentId};

/// Runs of pages in one answer.
const RUNS_MAX: usize = 2048;

/// Which pages of a range of a segment were ever touched, as far as you are their home?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    segment: SegmentId,
    first: u32,
    last: u32,
}

/// Runs of pages, first and last, ascending, up to a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Surveyed {
    runs: Vec<(u32, u32)>,
    complete_to: u32,
}

impl Message for Survey {
    const KIND: u16 = 257;
    const FENCED: bool = false;

    fn encode(&self, to: &mut Writer) {
        to.u64(self.segment.0);
        to.u32(self.first);
        to.u32(self.last);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { segment: SegmentId(from.u64()?), first: from.u32()?, last: from.u32()? })
    }
}

impl Message for Surveyed {
    const KIND: u16 = 258;
    const FENCED: bool = false;

    fn encode(&self, to: &mut Writer) {
        to.u32(self.complete_to);
        to.list("runs of pages", &self.runs, RUNS_MAX, |to, (first, last)| {
            to.u32(*first);
            to.u32(*last);
        });
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let complete_to = from.u32()?;
        let runs = from.list("runs of pages", RUNS_MAX, |from| Ok((from.u32()?, from.u32()?)))?;
        Ok(Self { runs, complete_to })
    }
}

impl Request for Survey {
    type Reply = Surveyed;
    const IDEMPOTENT: bool = true;
}

impl Pages {
    /// The first page with data at `page` or after it, up to `last`. Waits for every member, so not from a worker or a receiver.
    pub fn next_data(&self, file: &File, page: u32, last: u32) -> Result<Option<u32>, PageFault> {
        let mut at = page;
        loop {
            let (runs, complete_to) = self.data(file, at, last)?;
            if let Some((first, _)) = runs.first() {
                return Ok(Some((*first).max(at)));
            }
            match complete_to.checked_add(1).filter(|next| *next <= last) {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
    }

    /// The first page without data at `page` or after it; the one after `last` if there is none. As `next_data`.
    pub fn next_hole(&self, file: &File, page: u32, last: u32) -> Result<u64, PageFault> {
        let mut at = page;
        loop {
            let (runs, complete_to) = self.data(file, at, last)?;
            let mut end = u64::from(at);
            for (first, last) in runs {
                if u64::from(first) > end {
                    break;
                }
                end = end.max(u64::from(last) + 1);
            }
            match u32::try_from(end).ok().filter(|end| *end <= last) {
                Some(next) if next > complete_to => at = next,
                _ => return Ok(end.min(u64::from(last) + 1)),
            }
        }
    }

    /// Data from a page on, joined from what all members say, and up to where it is complete.
    fn data(&self, file: &File, page: u32, last: u32) -> Result<(Vec<(u32, u32)>, u32), PageFault> {
        let layout = file.layout();
        let survey = Survey {
            segment: segment(file.inode(), layout.generation(page)),
            first: page,
            last: last.min(layout.piece_end(page)),
        };
        let own = self.touched(&survey);
        let (mut runs, mut complete_to) = (own.runs, own.complete_to);
        for (_, answer) in self.ask_others(&survey) {
            let answer = answer.ok_or(PageFault::Ended)?;
            runs.extend(answer.runs);
            complete_to = complete_to.min(answer.complete_to);
        }
        runs.retain(|(first, last)| first <= last && *first <= complete_to && *last >= page);
        runs.sort_unstable();
        Ok((runs, complete_to))
    }

    pub(super) fn touched(&self, survey: &Survey) -> Surveyed {
        let page = |index| PageId { segment: survey.segment, index };
        let mut runs = Vec::new();
        let mut complete_to = survey.last;
        if survey.first > survey.last {
            return Surveyed { runs: Vec::new(), complete_to };
        }
        for shard in &self.shards {
            let shard = shard.lock();
            let homes = shard.engine.iter().flat_map(|e| e.homes_in(page(survey.first)..=page(survey.last)));
            let mut count = 0;
            let mut run: Option<(u32, u32)> = None;
            for home in homes.filter(|home| *home.holders != Holders::Untouched) {
                let index = home.page.index;
                match &mut run {
                    Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
                    _ => {
                        runs.extend(run.replace((index, index)));
                        count += 1;
                    }
                }
                if count > RUNS_MAX {
                    complete_to = complete_to.min(index.saturating_sub(1));
                    break;
                }
            }
            runs.extend(run);
        }
        runs.sort_unstable();
        runs.retain(|(first, _)| *first <= complete_to);
        if let Some((first, _)) = runs.get(RUNS_MAX).copied() {
            complete_to = complete_to.min(first.saturating_sub(1));
            runs.truncate(RUNS_MAX);
        }
        Surveyed { runs, complete_to }
    }
}
