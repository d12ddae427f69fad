//! What fails is tried once more, by itself: who fails twice has failed, who does not is named as unsteady.
//!
//! A check of programs that others wrote, on a machine that is busy, can fail by chance. Chance is told here, in every
//! run, by name; without a second try it would hide what is broken among what was slow.

use crate::outcome::Outcome;

/// In how many groups something may have failed to be tried again. More than that is no chance.
const GROUPS_MAX: usize = 3;

/// Tries `groups` once more, which are where all of `first.failed` is, if there is something to try. All of the second try has to pass.
pub(crate) fn again(
    mut first: Outcome,
    groups: &[String],
    second: impl FnOnce() -> Outcome,
) -> Outcome {
    if first.failed.is_empty() || groups.is_empty() || groups.len() > GROUPS_MAX {
        return first;
    }
    for why in &first.failed {
        println!("    failed, tried once more: {why}");
    }
    let second = second();
    let due = first.failed.len();
    if second.failed.is_empty() && second.passed as usize >= due {
        first.passed += second.passed;
        first.unsteady.append(&mut first.failed);
    } else {
        let twice = second.failed.into_iter().filter(|it| !first.failed.contains(it));
        let twice: Vec<_> = twice.map(|it| format!("{it} (in the second try)")).collect();
        first.failed.extend(twice);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(names: &[&str]) -> Outcome {
        Outcome {
            passed: 7,
            failed: names.iter().map(|&it| it.into()).collect(),
            ..Outcome::default()
        }
    }

    fn passed(passed: u32) -> Outcome {
        Outcome { passed, ..Outcome::default() }
    }

    #[test]
    fn who_passes_alone_is_unsteady() {
        let outcome = again(failed(&["a", "b"]), &["x".into()], || passed(2));
        assert_eq!((outcome.passed, outcome.failed.len()), (9, 0));
        assert_eq!(outcome.unsteady, ["a", "b"]);
    }

    #[test]
    fn who_fails_twice_has_failed() {
        let outcome = again(failed(&["a"]), &["x".into()], || failed(&["a", "c"]));
        assert_eq!(outcome.failed, ["a", "c (in the second try)"]);
        assert_eq!((outcome.passed, outcome.unsteady.len()), (7, 0));
    }

    #[test]
    fn a_second_try_that_ran_too_little_proves_nothing() {
        assert_eq!(again(failed(&["a", "b"]), &["x".into()], || passed(1)).failed, ["a", "b"]);
    }

    #[test]
    fn much_that_fails_is_no_chance() {
        let groups = ["w", "x", "y", "z"].map(String::from);
        assert_eq!(again(failed(&["a"]), &groups, || unreachable!()).failed, ["a"]);
        assert_eq!(again(failed(&["a"]), &[], || unreachable!()).failed, ["a"]);
        assert_eq!(again(passed(3), &groups[..1], || unreachable!()), passed(3));
    }
}
