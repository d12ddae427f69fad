//! Random bits that nobody can guess, drawn in advance.

use std::cell::RefCell;

/// Bytes drawn at once: one call of the system serves 64 clients.
const DRAWN: usize = 1024;

/// Returns 128 random bits of the operating system's generator.
pub(crate) fn bits() -> u128 {
    thread_local! {
        static DRAW: RefCell<(usize, [u8; DRAWN])> = const { RefCell::new((DRAWN, [0; DRAWN])) };
    }
    DRAW.with_borrow_mut(|(used, drawn)| {
        if *used == DRAWN {
            getrandom::fill(drawn).expect("the operating system gives random bytes");
            *used = 0;
        }
        let (taken, _) = drawn[*used..].split_first_chunk_mut::<16>().expect("a multiple of 16");
        *used += 16;
        // What was given out is not kept.
        u128::from_ne_bytes(std::mem::take(taken))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_bits_come_twice() {
        let all: std::collections::HashSet<_> = (0..1000).map(|_| super::bits()).collect();
        assert_eq!(all.len(), 1000);
    }
}
