//! What a connection still has to write.

use std::io::IoSlice;

/// Bytes in the order in which they go out.
#[derive(Debug, Default)]
pub struct Outbox {}

impl Outbox {
    /// Returns how many bytes wait.
    pub fn len(&self) -> usize {
        0
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `slices` from the front for one vectored write and returns how many it used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let _ = slices;
        0
    }
}
