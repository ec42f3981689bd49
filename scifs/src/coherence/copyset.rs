//! Who holds a copy of a page. A handful of members inline, any number beyond that as a bit set by member number:
//! a page that all of 1,000 nodes read costs 128 bytes, one that few read costs nothing extra.
//!
//! The form follows from the content alone, so equal sets are equal values and hash alike.

use std::fmt;

use super::ids::MemberNo;

const INLINE: usize = 6;

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum CopySet {
    /// Sorted, at most `INLINE`; the rest of the array is zero.
    Few { len: u8, members: [u16; INLINE] },
    /// More than `INLINE`; no zero word at the end.
    Many(Box<Vec<u64>>),
}

impl Default for CopySet {
    fn default() -> Self {
        Self::Few { len: 0, members: [0; INLINE] }
    }
}

impl CopySet {
    pub fn one(member: MemberNo) -> Self {
        std::iter::once(member).collect()
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Few { len, .. } => usize::from(*len),
            Self::Many(words) => words.iter().map(|w| w.count_ones() as usize).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, member: MemberNo) -> bool {
        match self {
            Self::Few { len, members } => members.iter().take(usize::from(*len)).any(|m| *m == member.0),
            Self::Many(words) => {
                words.get(usize::from(member.0 / 64)).is_some_and(|w| w >> (member.0 % 64) & 1 == 1)
            }
        }
    }

    pub fn first(&self) -> Option<MemberNo> {
        self.iter().next()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = MemberNo> + '_ {
        let few = match self {
            Self::Few { len, members } => members.get(..usize::from(*len)).unwrap_or_default(),
            Self::Many(_) => &[],
        };
        let many: &[u64] = match self {
            Self::Few { .. } => &[],
            Self::Many(words) => words,
        };
        let bits = many.iter().enumerate().flat_map(|(i, w)| {
            (0..64u16).filter(move |bit| w >> bit & 1 == 1).map(move |bit| MemberNo(i as u16 * 64 + bit))
        });
        few.iter().map(|m| MemberNo(*m)).chain(bits)
    }

    pub fn insert(&mut self, member: MemberNo) {
        match self {
            Self::Few { .. } if self.contains(member) => {}
            Self::Few { .. } => *self = self.iter().chain(std::iter::once(member)).collect(),
            Self::Many(words) => {
                let at = usize::from(member.0 / 64);
                words.resize(words.len().max(at + 1), 0);
                if let Some(word) = words.get_mut(at) {
                    *word |= 1 << (member.0 % 64);
                }
            }
        }
    }

    pub fn remove(&mut self, member: MemberNo) {
        if self.contains(member) {
            *self = self.iter().filter(|m| *m != member).collect();
        }
    }
}

impl FromIterator<MemberNo> for CopySet {
    fn from_iter<I: IntoIterator<Item = MemberNo>>(iter: I) -> Self {
        let mut all: Vec<u16> = iter.into_iter().map(|m| m.0).collect();
        all.sort_unstable();
        all.dedup();
        if all.len() <= INLINE {
            let mut members = [0; INLINE];
            members.iter_mut().zip(&all).for_each(|(slot, m)| *slot = *m);
            return Self::Few { len: all.len() as u8, members };
        }
        let mut words = vec![0u64; all.last().map_or(0, |m| usize::from(m / 64) + 1)];
        for m in all {
            if let Some(word) = words.get_mut(usize::from(m / 64)) {
                *word |= 1 << (m % 64);
            }
        }
        Self::Many(Box::new(words))
    }
}

impl fmt::Debug for CopySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_a_thousand_members_and_shrinks_back() {
        let mut set = CopySet::default();
        for m in (0..1000).rev() {
            set.insert(MemberNo(m));
            set.insert(MemberNo(m));
        }
        assert_eq!(set.len(), 1000);
        assert!(set.contains(MemberNo(999)) && !set.contains(MemberNo(1000)));
        (3..1000).for_each(|m| set.remove(MemberNo(m)));
        assert_eq!(set, [0, 1, 2].map(MemberNo).into_iter().collect());
        assert_eq!(set.first(), Some(MemberNo(0)));
    }

    #[test]
    fn equal_sets_have_one_form() {
        let a: CopySet = [900, 1, 2, 3, 4, 5, 6].map(MemberNo).into_iter().collect();
        let mut b = a.clone();
        b.insert(MemberNo(2000));
        b.remove(MemberNo(2000));
        assert_eq!(a, b);
        assert!(size_of::<CopySet>() <= 16);
    }
}
