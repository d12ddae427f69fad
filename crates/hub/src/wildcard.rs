//! Which patterns a channel's name matches.

use std::{collections::BTreeMap, error::Error, fmt, ops::Bound};

use taiwa_core::{Pattern, Syntax};

/// The most levels or words of a pattern. A search goes down so many steps at most.
pub const LEVELS_MAX: usize = 64;

/// A value for each pattern, found by the names that match: an entry of a fan-out, say, with all who subscribed to the
/// pattern.
///
/// * With [`Syntax::Levels`], MQTT 5 §4.7. Empty levels count; `a/#` matches `a` too; a name that begins with `$` is not
///   matched by a wildcard at its first level.
/// * With [`Syntax::Words`], `*` is one word, perhaps an empty one; `**` is the rest of one or more words. `.` and `:`
///   separate words, and each stands for itself.
/// * With [`Syntax::Prefix`], bytes count.
///
/// Adding and removing take one step for each level (a prefix: one comparison for each doubling of their number). Finding
/// visits the nodes that the name's levels lead to: at most two for each pattern and level, whatever the name, and one or
/// two for each level in common use. Nothing is allocated while searching, but `found` may grow. The number of patterns is
/// for the caller to limit, by [`Wildcards::len`].
///
/// ```
/// use taiwa_core::{Pattern, Syntax};
/// use taiwa_hub::wildcard::Wildcards;
///
/// let mut patterns = Wildcards::new();
/// patterns.insert(&Pattern::parse("home/+/light", Syntax::Levels).unwrap(), 1).unwrap();
/// patterns.insert(&Pattern::parse("home/#", Syntax::Levels).unwrap(), 2).unwrap();
/// let mut found = vec![];
/// patterns.find("home/kitchen/light", &mut found);
/// found.sort();
/// assert_eq!(found, [1, 2]);
/// ```
#[derive(Clone, Debug)]
pub struct Wildcards<V> {
    levels: Tree<V>,
    words: Tree<V>,
    prefixes: BTreeMap<Box<[u8]>, V>,
}

/// The pattern has more than [`LEVELS_MAX`] levels or words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooDeep;

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a pattern has at most {LEVELS_MAX} levels")
    }
}

impl Error for TooDeep {}

impl<V> Default for Wildcards<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Wildcards<V> {
    /// Makes an index without patterns.
    pub fn new() -> Self {
        Self {
            levels: Tree::new(Syntax::Levels),
            words: Tree::new(Syntax::Words),
            prefixes: BTreeMap::new(),
        }
    }

    /// Sets the value of a pattern, and returns the one it had.
    ///
    /// # Errors
    ///
    /// Changes nothing if the pattern is [too deep](LEVELS_MAX).
    pub fn insert(&mut self, pattern: &Pattern, value: V) -> Result<Option<V>, TooDeep> {
        match self.tree_mut(pattern) {
            Some(tree) => tree.insert(pattern.as_str(), value),
            None => Ok(self.prefixes.insert(pattern.as_str().as_bytes().into(), value)),
        }
    }

    /// Removes a pattern and returns its value; `None` if it is not there.
    pub fn remove(&mut self, pattern: &Pattern) -> Option<V> {
        match self.tree_mut(pattern) {
            Some(tree) => tree.remove(pattern.as_str()),
            None => self.prefixes.remove(pattern.as_str().as_bytes()),
        }
    }

    /// Returns the value of a pattern, to be changed.
    pub fn get_mut(&mut self, pattern: &Pattern) -> Option<&mut V> {
        match pattern.syntax() {
            Syntax::Levels => self.levels.get_mut(pattern.as_str()),
            Syntax::Words => self.words.get_mut(pattern.as_str()),
            _ => self.prefixes.get_mut(pattern.as_str().as_bytes()),
        }
    }

    /// Adds the values of all patterns that match the name, each once, in an order that depends on name and patterns
    /// alone.
    pub fn find(&self, name: &str, found: &mut Vec<V>)
    where
        V: Clone,
    {
        for tree in [&self.levels, &self.words] {
            if tree.len > 0 {
                tree.find(0, tree.levels(name), found);
            }
        }
        // All prefixes of a name lie in the sorted order right before it, and before what it has in common with its
        // neighbour there: each step tries the neighbour, and goes on with a shorter name.
        let mut rest = Some(name.as_bytes());
        while let Some(name) = rest {
            let before = (Bound::Unbounded, Bound::Included(name));
            let Some((prefix, value)) = self.prefixes.range::<[u8], _>(before).next_back() else {
                break;
            };
            if name.starts_with(prefix) {
                found.push(value.clone());
                rest = prefix.len().checked_sub(1).map(|it| &name[..it]);
            } else {
                let common = name.iter().zip(prefix).take_while(|(a, b)| a == b).count();
                rest = Some(&name[..common]);
            }
        }
    }

    /// Returns how many patterns there are.
    pub fn len(&self) -> usize {
        self.levels.len + self.words.len + self.prefixes.len()
    }

    /// Tells whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn tree_mut(&mut self, pattern: &Pattern) -> Option<&mut Tree<V>> {
        match pattern.syntax() {
            Syntax::Levels => Some(&mut self.levels),
            Syntax::Words => Some(&mut self.words),
            _ => None,
        }
    }
}

/// The patterns of one syntax with separators.
#[derive(Clone, Debug)]
struct Tree<V> {
    syntax: Syntax,
    /// The first is the root. A removed one waits in `free`.
    nodes: Vec<Node<V>>,
    free: Vec<u32>,
    len: usize,
}

/// Where the levels so far lead.
#[derive(Clone, Debug)]
struct Node<V> {
    /// By the next level, its separator in front.
    named: BTreeMap<Box<[u8]>, u32>,
    /// The wildcard for one level, by the separator in front of it.
    one: [Option<u32>; 3],
    /// The wildcard for all that follows, by the separator in front of it.
    rest: [Option<V>; 3],
    /// For the pattern that ends here.
    end: Option<V>,
}

/// One level of a name or a pattern.
#[derive(Clone, Copy)]
struct Level<'a> {
    /// With the separator in front of it, if it is not the first.
    whole: &'a [u8],
    /// Without.
    bare: &'a [u8],
    /// Which one: 0 none, 1 `/` or `.`, 2 `:`.
    separator: usize,
}

/// What is left of a name or a pattern.
#[derive(Clone, Copy)]
struct Levels<'a> {
    syntax: Syntax,
    left: &'a [u8],
    is_first: bool,
}

/// What a level of a pattern means.
enum Step<'a> {
    Named(&'a [u8]),
    One(usize),
    Rest(usize),
}

impl<'a> Iterator for Levels<'a> {
    type Item = Level<'a>;

    fn next(&mut self) -> Option<Level<'a>> {
        let front = usize::from(!self.is_first);
        let separates = |it: &u8| match self.syntax {
            Syntax::Levels => *it == b'/',
            _ => matches!(it, b'.' | b':'),
        };
        // Nothing is left behind the last level; a first one there always is, perhaps empty.
        let bare = self.left.get(front..)?;
        let bare = &bare[..bare.iter().position(separates).unwrap_or(bare.len())];
        let (whole, left) = self.left.split_at(front + bare.len());
        let separator = match whole.first() {
            _ if self.is_first => 0,
            Some(b':') => 2,
            _ => 1,
        };
        *self = Self { left, is_first: false, ..*self };
        Some(Level { whole, bare, separator })
    }
}

impl<'a> Level<'a> {
    fn step(self, syntax: Syntax) -> Step<'a> {
        match (syntax, self.bare) {
            (Syntax::Levels, b"+") | (Syntax::Words, b"*") => Step::One(self.separator),
            (Syntax::Levels, b"#") | (Syntax::Words, b"**") => Step::Rest(self.separator),
            _ => Step::Named(self.whole),
        }
    }
}

impl<V> Node<V> {
    fn new() -> Self {
        Self { named: BTreeMap::new(), one: [None; 3], rest: [const { None }; 3], end: None }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty()
            && self.one.iter().all(Option::is_none)
            && self.rest.iter().all(Option::is_none)
            && self.end.is_none()
    }
}

impl<V> Tree<V> {
    fn new(syntax: Syntax) -> Self {
        Self { syntax, nodes: vec![Node::new()], free: vec![], len: 0 }
    }

    fn levels<'a>(&self, text: &'a str) -> Levels<'a> {
        Levels { syntax: self.syntax, left: text.as_bytes(), is_first: true }
    }

    fn insert(&mut self, text: &str, value: V) -> Result<Option<V>, TooDeep> {
        let levels = self.levels(text);
        if levels.count() > LEVELS_MAX {
            return Err(TooDeep);
        }
        let mut at = 0;
        for level in levels {
            let step = level.step(self.syntax);
            let known = match step {
                Step::Named(level) => self.nodes[at].named.get(level).copied(),
                Step::One(separator) => self.nodes[at].one[separator],
                // A pattern ends with it.
                Step::Rest(separator) => {
                    let old = self.nodes[at].rest[separator].replace(value);
                    self.len += usize::from(old.is_none());
                    return Ok(old);
                }
            };
            let next = known.unwrap_or_else(|| self.new_node());
            match step {
                Step::Named(level) if known.is_none() => {
                    self.nodes[at].named.insert(level.into(), next);
                }
                Step::One(separator) => self.nodes[at].one[separator] = Some(next),
                Step::Named(_) | Step::Rest(_) => {}
            }
            at = next as usize;
        }
        let old = self.nodes[at].end.replace(value);
        self.len += usize::from(old.is_none());
        Ok(old)
    }

    fn new_node(&mut self) -> u32 {
        if let Some(node) = self.free.pop() {
            return node;
        }
        self.nodes.push(Node::new());
        u32::try_from(self.nodes.len() - 1).expect("fewer than 2³² nodes")
    }

    /// Returns where a pattern's value is, and adds the nodes on the way there, the root first.
    fn slot(&mut self, text: &str, way: &mut Vec<u32>) -> Option<&mut Option<V>> {
        let mut at = 0;
        way.push(0);
        for level in self.levels(text) {
            let node = &self.nodes[at];
            let next = match level.step(self.syntax) {
                Step::Named(level) => node.named.get(level).copied(),
                Step::One(separator) => node.one[separator],
                Step::Rest(separator) => return Some(&mut self.nodes[at].rest[separator]),
            };
            way.push(next?);
            at = next? as usize;
        }
        Some(&mut self.nodes[at].end)
    }

    fn get_mut(&mut self, text: &str) -> Option<&mut V> {
        self.slot(text, &mut vec![])?.as_mut()
    }

    fn remove(&mut self, text: &str) -> Option<V> {
        let mut way = vec![];
        let value = self.slot(text, &mut way)?.take()?;
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new(self.syntax);
            return Some(value);
        }
        let mut levels: Vec<_> = self.levels(text).take(way.len() - 1).collect();
        while let (Some(node), Some(level)) = (way.pop(), levels.pop()) {
            if !self.nodes[node as usize].is_empty() {
                break;
            }
            self.free.push(node);
            let parent = &mut self.nodes[way[way.len() - 1] as usize];
            match level.step(self.syntax) {
                Step::Named(level) => _ = parent.named.remove(level),
                Step::One(separator) => parent.one[separator] = None,
                Step::Rest(_) => {}
            }
        }
        Some(value)
    }

    fn find(&self, at: u32, mut left: Levels<'_>, found: &mut Vec<V>)
    where
        V: Clone,
    {
        let node = &self.nodes[at as usize];
        let Some(level) = left.next() else {
            found.extend(node.end.clone());
            if self.syntax == Syntax::Levels {
                // MQTT 5 §4.7.1.2: "The multi-level wildcard represents the parent and any number of child levels."
                found.extend(node.rest[1].clone());
            }
            return;
        };
        // MQTT 5 §4.7.2: "The Server MUST NOT match Topic Filters starting with a wildcard character (# or +) with Topic
        // Names beginning with a $ character"
        let is_hidden =
            level.separator == 0 && self.syntax == Syntax::Levels && level.bare.starts_with(b"$");
        if !is_hidden {
            found.extend(node.rest[level.separator].clone());
            if let Some(next) = node.one[level.separator] {
                self.find(next, left, found);
            }
        }
        if let Some(next) = node.named.get(level.whole) {
            self.find(*next, left, found);
        }
    }
}

#[cfg(test)]
mod tests;
