//! What many are to hear: numbered publications, each by everyone, once, in order.

use std::collections::VecDeque;

use crate::publish::Due;

const MESSAGE_BYTES: usize = 64;

/// Those who hear.
pub(crate) struct Ears {
    /// Of each: the number that it has to hear next.
    next: Vec<u64>,
    /// How many of them are to hear anything: not the first ones.
    deaf: usize,
    /// All have heard those before this number.
    done: u64,
    /// What some have heard and others not, and how many those are.
    under_way: VecDeque<(Due, usize)>,
}

impl Ears {
    /// So many, of whom the first ones hear nothing.
    pub(crate) fn new(many: usize, deaf: usize) -> Self {
        Self { next: vec![0; many], deaf, done: 0, under_way: VecDeque::new() }
    }

    /// JSON with a number, always as long.
    pub(crate) fn word(number: u64) -> String {
        let mut out = format!("{{\"n\":{number},\"fill\":\"");
        let rest = MESSAGE_BYTES.saturating_sub(out.len() + 2);
        out.extend(std::iter::repeat_n('.', rest));
        out + "\"}"
    }

    /// Returns how many publications all have heard.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Takes in what one of them hears.
    ///
    /// # Errors
    /// It is not what is due.
    pub(crate) fn hear(&mut self, id: usize, line: &str) -> Result<(), String> {
        if id < self.deaf {
            return Err(format!("who publishes hears {line}"));
        }
        let place = (self.next[id] - self.done) as usize;
        while self.under_way.len() <= place {
            let number = self.done + self.under_way.len() as u64;
            self.under_way.push_back((Due::new(Self::word(number)), self.next.len() - self.deaf));
        }
        let (due, left) = &mut self.under_way[place];
        due.check(line)?;
        *left -= 1;
        self.next[id] += 1;
        while self.under_way.pop_front_if(|it| it.1 == 0).is_some() {
            self.done += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_hears_every_number_once_and_in_order() {
        let mut ears = Ears::new(3, 1);
        let words: Vec<String> = (0..3).map(Ears::word).collect();
        assert!(words.iter().all(|it| it.len() == MESSAGE_BYTES));
        assert!(ears.hear(0, &words[0]).is_err(), "it is deaf");
        ears.hear(1, &words[0]).unwrap();
        ears.hear(1, &words[1]).unwrap();
        assert_eq!(ears.done(), 0);
        ears.hear(2, &words[0]).unwrap();
        assert_eq!(ears.done(), 1);
        assert!(ears.hear(2, &words[2]).is_err(), "one is missing");
        assert!(ears.hear(2, &words[0]).is_err(), "it comes twice");
    }
}
