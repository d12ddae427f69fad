//! Which of Autobahn's cases run.

/// The groups of the core: framing, pings, reserved bits and opcodes, fragmentation, UTF-8, the
/// closing handshake, limits, splitting. There is no group 8, and 11 is not run by anybody.
const CORE: &[&str] = &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"];
const CORE_COUNT: usize = 301;

/// The first five sizes of each of the five kinds of payload in 12 and of the seven settings of
/// permessage-deflate in 13.
const SAMPLE_MINORS: &[(u32, u32)] = &[(12, 5), (13, 7)];
const SAMPLE_SIZES: u32 = 5;

const ALL_COUNT: usize = 517;
const GROUP_13_COUNT: usize = 126;

/// A selection of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cases {
    /// The core and a sample of the compression cases.
    Sample,
    /// Every case.
    All,
}

impl Cases {
    /// Returns the options that make kosoku run just these.
    pub(super) fn options(self) -> Vec<String> {
        match self {
            Self::All => vec![],
            Self::Sample => {
                let core = CORE.iter().map(|it| (*it).to_owned());
                core.chain(sample()).flat_map(|it| ["-i".to_owned(), it]).collect()
            }
        }
    }

    /// Returns how many verdicts there must be.
    pub(super) fn count(self) -> usize {
        match self {
            Self::All => ALL_COUNT,
            Self::Sample => CORE_COUNT + sample().count(),
        }
    }

    /// Returns the place of the first case of group 13, counted from 1.
    pub(super) fn first_of_group_13(self) -> usize {
        match self {
            Self::All => ALL_COUNT - GROUP_13_COUNT + 1,
            Self::Sample => {
                let before = |it: &String| !it.starts_with("13.");
                CORE_COUNT + sample().take_while(before).count() + 1
            }
        }
    }
}

/// One by one: kosoku's `13.*.1` would take in 13.1.10 to 13.1.18 as well.
fn sample() -> impl Iterator<Item = String> {
    SAMPLE_MINORS.iter().flat_map(|(major, minors)| {
        (1..=*minors).flat_map(move |minor| {
            (1..=SAMPLE_SIZES).map(move |size| format!("{major}.{minor}.{size}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_names_sixty_cases() {
        let options = Cases::Sample.options();
        assert_eq!(options.len(), 2 * (CORE.len() + 60));
        assert!(options.ends_with(&["-i".into(), "13.7.5".into()]));
        assert_eq!(Cases::Sample.count(), 361);
        assert_eq!(Cases::Sample.first_of_group_13(), 327);
        assert_eq!(Cases::All.first_of_group_13(), 392);
        assert!(Cases::All.options().is_empty());
    }
}
