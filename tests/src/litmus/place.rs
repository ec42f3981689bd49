//! Where the variables of many instances of one test lie: on one cache line, on one page, on different pages, in different
//! files. Each page has room for some instances, and words that belong to no test, to fetch the page by.

use super::program::THREADS_MAX;

pub const PAGE_BYTES: usize = 4096;
/// Instances of a test on one page (or set of pages).
pub const INSTANCES_A_PAGE: usize = 60;
const LINE_BYTES: usize = 64;
/// Between two variables on one cache line.
const STEP_BYTES: usize = 16;
/// Words that no test uses: one for each thread, behind all instances.
const SPARE_AT: usize = INSTANCES_A_PAGE * LINE_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Line,
    Page,
    Pages,
    Files,
}

impl Layout {
    pub const ALL: [Layout; 4] = [Layout::Line, Layout::Page, Layout::Pages, Layout::Files];

    pub fn name(self) -> &'static str {
        match self {
            Layout::Line => "one-line",
            Layout::Page => "one-page",
            Layout::Pages => "pages",
            Layout::Files => "files",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    pub fn files(self, variables: usize) -> usize {
        if self == Layout::Files { variables } else { 1 }
    }

    pub fn file_bytes(self, variables: usize, instances: usize) -> usize {
        let pages = instances.div_ceil(INSTANCES_A_PAGE);
        PAGE_BYTES * pages * if self == Layout::Pages { variables } else { 1 }
    }

    pub fn file_of(self, variable: usize) -> usize {
        if self == Layout::Files { variable } else { 0 }
    }

    /// Where in its file a variable of an instance begins.
    pub fn offset(self, variables: usize, variable: usize, instance: usize) -> usize {
        let slot = instance % INSTANCES_A_PAGE;
        let inside = match self {
            Layout::Line => slot * LINE_BYTES + variable * STEP_BYTES,
            Layout::Page => (variable * INSTANCES_A_PAGE + slot) * STEP_BYTES,
            Layout::Pages | Layout::Files => slot * LINE_BYTES,
        };
        self.page(variables, variable, instance) + inside
    }

    /// A word on the same page that only this thread uses, and only to have the page.
    pub fn spare(self, variables: usize, variable: usize, instance: usize, thread: usize) -> usize {
        debug_assert!(thread < THREADS_MAX);
        self.page(variables, variable, instance) + SPARE_AT + thread * LINE_BYTES
    }

    fn page(self, variables: usize, variable: usize, instance: usize) -> usize {
        let group = instance / INSTANCES_A_PAGE;
        match self {
            Layout::Pages => PAGE_BYTES * (group * variables + variable),
            _ => PAGE_BYTES * group,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_variables_of_any_instance_share_bytes() {
        let (variables, instances) = (4, 130);
        for layout in Layout::ALL {
            let mut taken = std::collections::HashSet::new();
            let size = layout.file_bytes(variables, instances);
            for (instance, variable) in (0..instances).flat_map(|i| (0..variables).map(move |v| (i, v))) {
                let (file, at) = (layout.file_of(variable), layout.offset(variables, variable, instance));
                assert!(taken.insert((file, at)) && at % 8 == 0 && at + 8 <= size, "{layout:?}");
                let spare = layout.spare(variables, variable, instance, THREADS_MAX - 1);
                assert!(spare / PAGE_BYTES == at / PAGE_BYTES && spare + 8 <= size, "{layout:?}");
                assert!(at % PAGE_BYTES + 8 <= SPARE_AT, "{layout:?}");
            }
        }
    }
}
