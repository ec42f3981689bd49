//! Who holds a copy of a page. A handful of members inline, any number beyond that as a bit set by member number:
//! a page that all of 1,000 nodes read costs 256 bytes, one that few read costs nothing extra.
//!
//! The form follows from the content alone, so equal sets are equal values and hash alike.

use std::fmt;

use super::ids::MemberNo;

const INLINE: usize = 5;

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum CopySet {
    /// Ascending, at most `INLINE`; the rest of the array is zero.
    Few { len: u8, members: [u32; INLINE] },
    /// More than `INLINE`: 64 numbers a word, ascending, without empty words.
    Many(Box<Vec<(u32, u64)>>),
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
            Self::Many(words) => words.iter().map(|(_, word)| word.count_ones() as usize).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, member: MemberNo) -> bool {
        match self {
            Self::Few { len, members } => members.iter().take(usize::from(*len)).any(|m| *m == member.0),
            Self::Many(words) => {
                let word = words.binary_search_by_key(&(member.0 / 64), |(at, _)| *at);
                let word = word.ok().and_then(|found| words.get(found));
                word.is_some_and(|(_, word)| word >> (member.0 % 64) & 1 == 1)
            }
        }
    }

    pub fn first(&self) -> Option<MemberNo> {
        self.iter().next()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = MemberNo> + '_ {
        let (few, many): (&[u32], &[(u32, u64)]) = match self {
            Self::Few { len, members } => (members.get(..usize::from(*len)).unwrap_or_default(), &[]),
            Self::Many(words) => (&[], words),
        };
        let bits = many.iter().flat_map(|(at, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| MemberNo(at * 64 + bit))
        });
        few.iter().map(|m| MemberNo(*m)).chain(bits)
    }

    pub fn insert(&mut self, member: MemberNo) {
        match self {
            Self::Few { .. } if self.contains(member) => {}
            Self::Few { .. } => *self = self.iter().chain(std::iter::once(member)).collect(),
            Self::Many(words) => add(words, member),
        }
    }

    pub fn remove(&mut self, member: MemberNo) {
        if self.contains(member) {
            *self = self.iter().filter(|m| *m != member).collect();
        }
    }
}

fn add(words: &mut Vec<(u32, u64)>, member: MemberNo) {
    let bit = 1 << (member.0 % 64);
    match words.binary_search_by_key(&(member.0 / 64), |(at, _)| *at) {
        Ok(found) => {
            if let Some((_, word)) = words.get_mut(found) {
                *word |= bit;
            }
        }
        Err(place) => words.insert(place, (member.0 / 64, bit)),
    }
}

impl FromIterator<MemberNo> for CopySet {
    fn from_iter<I: IntoIterator<Item = MemberNo>>(iter: I) -> Self {
        let mut all: Vec<u32> = iter.into_iter().map(|m| m.0).collect();
        all.sort_unstable();
        all.dedup();
        if all.len() <= INLINE {
            let mut members = [0; INLINE];
            members.iter_mut().zip(&all).for_each(|(slot, m)| *slot = *m);
            return Self::Few { len: all.len() as u8, members };
        }
        let mut words = Vec::new();
        all.into_iter().for_each(|m| add(&mut words, MemberNo(m)));
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
        let a: CopySet = [4_000_000_000, 1, 2, 3, 4, 5, 6].map(MemberNo).into_iter().collect();
        let mut b = a.clone();
        b.insert(MemberNo(2000));
        b.remove(MemberNo(2000));
        assert_eq!(a, b);
        assert!(size_of::<CopySet>() <= 24);
    }
}
