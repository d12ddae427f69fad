//! A list that mostly has one item, and then owns no memory.

use std::{
    ops::{Deref, DerefMut},
    slice,
};

/// A list as a slice; its order changes when items are taken out. It has room for its items and for no more: each that comes
/// moves the others, so it is for lists of which the limits make no long ones. With one item it is no larger than that, if
/// a part of the item is never zero and 16 bytes are left beside it.
#[derive(Debug)]
pub(crate) enum Few<T> {
    One(T),
    Other(Box<[T]>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Other(Box::default())
    }
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        *self = match std::mem::take(self) {
            Self::One(first) => Self::Other(Box::new([first, item])),
            Self::Other(none) if none.is_empty() => Self::One(item),
            Self::Other(all) => {
                let mut all = all.into_vec();
                all.reserve_exact(1);
                all.push(item);
                Self::Other(all.into_boxed_slice())
            }
        };
    }

    /// Takes out the item at a place, if there is one; what was last moves into the gap.
    pub(crate) fn swap_remove(&mut self, at: usize) -> Option<T> {
        if at >= self.len() {
            return None;
        }
        match std::mem::take(self) {
            Self::One(item) => Some(item),
            Self::Other(all) => {
                let mut all = all.into_vec();
                let item = all.swap_remove(at);
                *self = match all.len() {
                    1 => all.pop().map_or_else(Self::default, Self::One),
                    _ => Self::Other(all.into_boxed_slice()),
                };
                Some(item)
            }
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(item) => slice::from_ref(item),
            Self::Other(all) => all,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::One(item) => slice::from_mut(item),
            Self::Other(all) => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn it_does_what_a_vec_does() {
        let mut dice = Dice::new(1);
        for _ in 0..200 {
            let (mut few, mut vec) = (Few::default(), vec![]);
            for item in 0..100 {
                if dice.one_in(2) {
                    few.push(item);
                    vec.push(item);
                } else {
                    let at = dice.below(vec.len() + 1);
                    let expected = (at < vec.len()).then(|| vec.swap_remove(at));
                    assert_eq!(few.swap_remove(at), expected);
                }
                assert_eq!(*few, vec[..]);
            }
        }
    }

    #[test]
    fn one_item_takes_no_more_than_itself() {
        assert_eq!(size_of::<Few<(u64, u64, crate::slab::Key)>>(), 24);
    }
}
