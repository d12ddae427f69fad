//! Profiles that callgrind writes: how many instructions our code took, and how many it took to give it memory.

use std::collections::HashMap;

/// What one profile says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Instructions of the program itself, in user space. Not those of the C library, nor of code that chooses its
    /// instructions by what the processor can: both differ between machines that run the same program.
    pub(super) instructions: u64,
    /// Instructions of the functions that give memory: some twenty for each call, and none if there was none. The calls
    /// themselves tell nothing, since callgrind also counts those of threads that it does not look at.
    pub(super) allocating: u64,
}

/// Parts of names of functions that choose their instructions when they run.
const BY_PROCESSOR: &[&str] =
    &["simdutf8", "zlib_rs", "memchr::", "sha1::", "httparse::simd", "std_detect", "cpufeatures"];
/// Functions of the C library that give memory.
const GIVE_MEMORY: &[&str] =
    &["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

impl Counts {
    /// Reads a profile of a program that lies at a path which ends with `program`.
    pub(super) fn read(profile: &str, program: &str) -> Self {
        let mut counts = Self::default();
        let (mut objects, mut functions) = (Names::default(), Names::default());
        let (mut is_ours, mut gives_memory, mut skips) = (false, false, false);
        let (mut object_is_ours, mut function_is_ours) = (false, false);
        for line in profile.lines() {
            if let Some((key, value)) = line.split_once('=') {
                match key {
                    "ob" => object_is_ours = objects.of(value).ends_with(program),
                    "fn" => {
                        let function = functions.of(value);
                        function_is_ours = is_of_every_machine(function);
                        gives_memory = GIVE_MEMORY.contains(&function);
                    }
                    "cob" => _ = objects.of(value),
                    "cfn" => _ = functions.of(value),
                    // The next line has what the callee took, which stands in the callee's own lines, too.
                    "calls" => skips = true,
                    _ => {}
                }
                is_ours = object_is_ours && function_is_ours;
            } else if line.starts_with(|it: char| it.is_ascii_digit() || "+-*".contains(it)) {
                let cost = line.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok());
                let cost = if skips { 0 } else { cost.unwrap_or(0) };
                counts.instructions += if is_ours { cost } else { 0 };
                counts.allocating += if gives_memory { cost } else { 0 };
                skips = false;
            }
        }
        counts
    }
}

fn is_of_every_machine(function: &str) -> bool {
    !BY_PROCESSOR.iter().any(|it| function.contains(it))
}

/// Names that are written once, `(7) name`, and from then on as `(7)`.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn of<'a>(&'a mut self, value: &'a str) -> &'a str {
        let Some((number, name)) = value.split_once(')') else { return value };
        let known = self.0.entry(number.to_owned()).or_default();
        if !name.is_empty() {
            // Functions in a cycle of calls are numbered: `name'2`.
            let name = name.trim_start();
            *known = name.split_once('\'').map_or(name, |(it, _)| it).to_owned();
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
# callgrind format
version: 1
positions: line
events: Ir
summary: 999

ob=(1) /there/target/release/taiwa
fl=(1) /there/src/lib.rs
fn=(1) taiwa::echo
10 40
+2 2
cob=(2) /lib/libc.so.6
cfi=(2) malloc.c
cfn=(2) malloc
calls=3 0
* 300
fi=(3) other.rs
20 5
cfn=(1)
calls=1 10
* 47

ob=(2)
fl=(2)
fn=(2)
100 70

ob=(1)
fl=(4) simd.rs
fn=(3) simdutf8::implementation::avx2
1 1000
fn=(4) taiwa::write'2
5 8
";

    #[test]
    fn only_our_own_instructions_count_each_once() {
        let counts = Counts::read(PROFILE, "release/taiwa");
        assert_eq!(counts, Counts { instructions: 40 + 2 + 5 + 8, allocating: 70 });
        assert_eq!(Counts::read(PROFILE, "elsewhere").instructions, 0);
        assert_eq!(Counts::read("", "release/taiwa"), Counts::default());
    }
}
