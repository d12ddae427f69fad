//! Whether a subscriber wants a publication, by its tags.

use std::{cmp::Ordering, error::Error, fmt, sync::Arc};

use taiwa_core::{Filter, Tags};

use crate::seeded::{Seeded, SeededMap};

/// How big a [`Filter`] may be: it is evaluated for every publication of its channel. A bigger one is refused when its
/// subscriber comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterLimits {
    /// Nodes, the values of [`Filter::In`] among them.
    pub nodes_max: usize,
    /// Filters inside filters; the outermost has depth 1.
    pub depth_max: usize,
    /// Bytes of all keys and values.
    pub bytes_max: usize,
}

impl Default for FilterLimits {
    /// 64 nodes, 8 deep, 4 KiB.
    fn default() -> Self {
        Self { nodes_max: 64, depth_max: 8, bytes_max: 4096 }
    }
}

/// Why a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterFault {
    /// Above [`FilterLimits::nodes_max`].
    TooManyNodes,
    /// Above [`FilterLimits::depth_max`].
    TooDeep,
    /// Above [`FilterLimits::bytes_max`].
    TooManyBytes,
    /// An `And`, an `Or` or an `In` of nothing.
    Empty,
    /// A comparison by size with what is no decimal number.
    NoNumber,
    /// A kind of filter that this hub does not know.
    Unknown,
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManyNodes => "the filter has too many nodes",
            Self::TooDeep => "the filter is nested too deeply",
            Self::TooManyBytes => "the filter's keys and values are too long",
            Self::Empty => "a part of the filter has nothing to choose from",
            Self::NoNumber => {
                "the filter compares by size with something that is no decimal number"
            }
            Self::Unknown => "the filter has a part that this server does not know",
        })
    }
}

impl Error for FilterFault {}

/// Checks a filter when its subscriber comes. What passes is evaluated in bounded time and depth.
///
/// # Errors
///
/// Says what is wrong with it; see [`FilterFault`].
pub fn check(filter: &Filter, limits: &FilterLimits) -> Result<(), FilterFault> {
    let mut left = *limits;
    count(filter, &mut left)
}

fn count(filter: &Filter, left: &mut FilterLimits) -> Result<(), FilterFault> {
    left.depth_max = left.depth_max.checked_sub(1).ok_or(FilterFault::TooDeep)?;
    spend(&mut left.nodes_max, 1, FilterFault::TooManyNodes)?;
    let mut bytes = |n| spend(&mut left.bytes_max, n, FilterFault::TooManyBytes);
    match filter {
        Filter::And(parts) | Filter::Or(parts) => {
            if parts.is_empty() {
                return Err(FilterFault::Empty);
            }
            for part in parts {
                count(part, left)?;
            }
        }
        Filter::Not(part) => count(part, left)?,
        Filter::Exists(key) => bytes(key.len())?,
        Filter::Equals(key, value)
        | Filter::StartsWith(key, value)
        | Filter::EndsWith(key, value)
        | Filter::Contains(key, value) => bytes(key.len().saturating_add(value.len()))?,
        Filter::In(key, values) => {
            if values.is_empty() {
                return Err(FilterFault::Empty);
            }
            bytes(key.len())?;
            for value in values {
                bytes(value.len())?;
            }
            spend(&mut left.nodes_max, values.len(), FilterFault::TooManyNodes)?;
        }
        Filter::Below(key, number)
        | Filter::AtMost(key, number)
        | Filter::Above(key, number)
        | Filter::AtLeast(key, number) => {
            bytes(key.len().saturating_add(number.len()))?;
            Decimal::parse(number).ok_or(FilterFault::NoNumber)?;
        }
        _ => return Err(FilterFault::Unknown),
    }
    left.depth_max += 1;
    Ok(())
}

fn spend(left: &mut usize, n: usize, fault: FilterFault) -> Result<(), FilterFault> {
    *left = left.checked_sub(n).ok_or(fault)?;
    Ok(())
}

/// Tells whether tags are what a filter asks for. It must have been [checked](check), or be shallow.
///
/// A tag that is not there is equal to nothing, above and below nothing. Numbers are compared as they are written, whatever
/// their length: `0.1` is `0.10`, and no digit is lost. A tag that is no number is neither above nor below.
///
/// ```
/// use taiwa_core::{Filter, Tags};
/// use taiwa_hub::tags::matches;
///
/// let tags = Tags::new([("price".into(), "50000.5".into())]);
/// assert!(matches(&Filter::Above("price".into(), "9999".into()), &tags));
/// assert!(!matches(&Filter::Exists("ticker".into()), &tags));
/// ```
pub fn matches(filter: &Filter, tags: &Tags) -> bool {
    let has = |key: &str, is: &dyn Fn(&str) -> bool| tags.get(key).is_some_and(is);
    let compares = |key: &str, number: &str, is: fn(Ordering) -> bool| {
        let pair = tags.get(key).and_then(Decimal::parse).zip(Decimal::parse(number));
        pair.is_some_and(|(tag, number)| is(tag.compare(&number)))
    };
    match filter {
        Filter::And(parts) => parts.iter().all(|it| matches(it, tags)),
        Filter::Or(parts) => parts.iter().any(|it| matches(it, tags)),
        Filter::Not(part) => !matches(part, tags),
        Filter::Exists(key) => tags.get(key).is_some(),
        Filter::Equals(key, value) => has(key, &|it| it == &**value),
        Filter::In(key, values) => has(key, &|it| values.iter().any(|value| it == &**value)),
        Filter::StartsWith(key, value) => has(key, &|it| it.starts_with(&**value)),
        Filter::EndsWith(key, value) => has(key, &|it| it.ends_with(&**value)),
        Filter::Contains(key, value) => has(key, &|it| it.contains(&**value)),
        Filter::Below(key, number) => compares(key, number, Ordering::is_lt),
        Filter::AtMost(key, number) => compares(key, number, Ordering::is_le),
        Filter::Above(key, number) => compares(key, number, Ordering::is_gt),
        Filter::AtLeast(key, number) => compares(key, number, Ordering::is_ge),
        _ => false,
    }
}

/// A decimal number as it is written: an optional sign, digits, and perhaps a point with digits behind it.
struct Decimal<'a> {
    is_negative: bool,
    /// Without leading zeros.
    whole: &'a str,
    /// Without trailing zeros.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { is_negative: sign && !is_zero, whole, fraction })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let size = self.whole.len().cmp(&other.whole.len());
        let size = size.then_with(|| self.whole.cmp(other.whole));
        let size = size.then_with(|| self.fraction.cmp(other.fraction));
        match (self.is_negative, other.is_negative) {
            (false, false) => size,
            (true, true) => size.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// Names a filter of [`Filters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterId(u32);

/// The filters of many subscribers, equal ones once: each is evaluated once for a publication, and a subscription keeps
/// 4 bytes.
///
/// ```
/// use taiwa_core::{Filter, Tags};
/// use taiwa_hub::{seeded::Seeded, tags::Filters};
///
/// let mut filters = Filters::new(Seeded::new([7; 16]));
/// let (one, two) = (filters.add(Filter::Exists("a".into())), filters.add(Filter::Exists("a".into())));
/// assert_eq!((one, filters.len()), (two, 1));
/// assert!(filters.matches(one, &Tags::new([("a".into(), "1".into())]), 1));
/// ```
pub struct Filters {
    ids: SeededMap<Arc<Filter>, u32>,
    shared: Vec<Option<Shared>>,
    free: Vec<u32>,
}

struct Shared {
    filter: Arc<Filter>,
    users: usize,
    /// The last publication it was asked about, and the answer.
    last: Option<(u64, bool)>,
}

impl Filters {
    /// Makes an empty set. There are at most as many filters as subscriptions, so their limit is the limit here.
    pub fn new(seeded: Seeded) -> Self {
        Self { ids: SeededMap::with_hasher(seeded), shared: vec![], free: vec![] }
    }

    /// Adds a [checked](check) filter, or one more user of an equal one.
    #[expect(clippy::missing_panics_doc, reason = "2³² filters have no room in memory")]
    pub fn add(&mut self, filter: Filter) -> FilterId {
        if let Some(id) = self.ids.get(&filter)
            && let Some(shared) = &mut self.shared[*id as usize]
        {
            shared.users += 1;
            return FilterId(*id);
        }
        let filter = Arc::new(filter);
        let shared = Some(Shared { filter: filter.clone(), users: 1, last: None });
        let id = self.free.pop().unwrap_or_else(|| {
            self.shared.push(None);
            u32::try_from(self.shared.len() - 1).expect("fewer than 2³² filters")
        });
        self.shared[id as usize] = shared;
        self.ids.insert(filter, id);
        FilterId(id)
    }

    /// Takes a user away; with its last one a filter goes. To be called once for each [`Filters::add`].
    pub fn remove(&mut self, id: FilterId) {
        let Some(place) = self.shared.get_mut(id.0 as usize) else { return };
        let Some(shared) = place else { return };
        shared.users -= 1;
        if shared.users == 0 {
            self.ids.remove(&shared.filter);
            *place = None;
            self.free.push(id.0);
            if self.ids.is_empty() {
                (self.shared, self.free) = (vec![], vec![]);
                self.ids.shrink_to_fit();
            }
        }
    }

    /// Tells whether the tags of a publication are what the filter asks for; see [`matches()`]. `number` is another one for
    /// every publication: asked about the same again, the filter only remembers. A filter that is gone matches nothing.
    pub fn matches(&mut self, id: FilterId, tags: &Tags, number: u64) -> bool {
        let Some(Some(shared)) = self.shared.get_mut(id.0 as usize) else { return false };
        match shared.last {
            Some((last, answer)) if last == number => answer,
            _ => {
                let answer = matches(&shared.filter, tags);
                shared.last = Some((number, answer));
                answer
            }
        }
    }

    /// Returns how many different filters there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl fmt::Debug for Filters {
    /// Shows no filter: they belong to the users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filters").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
