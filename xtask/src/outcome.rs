//! What a stage found, and the tally of all stages.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// What one stage found. A stage that found nothing at all counts as failed: a check that ran no
/// check proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How many checks passed.
    pub(crate) passed: u32,
    /// What failed, one line each.
    pub(crate) failed: Vec<String>,
    /// What was left out, one line each, with the reason.
    pub(crate) skipped: Vec<String>,
    /// What failed and then passed by itself, one line each; see [`again`](crate::again::again).
    pub(crate) unsteady: Vec<String>,
}

impl Outcome {
    /// Makes one passed check of `Ok`, one failed check of `Err`.
    pub(crate) fn of(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self { passed: 1, ..Self::default() },
            Err(why) => Self::failure(why),
        }
    }

    /// Makes one failed check.
    pub(crate) fn failure(why: impl Into<String>) -> Self {
        Self { failed: vec![why.into()], ..Self::default() }
    }

    /// Makes one check that was left out.
    pub(crate) fn skip(why: impl Into<String>) -> Self {
        Self { skipped: vec![why.into()], ..Self::default() }
    }

    /// Adds what another part of the stage found.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
        self.unsteady.extend(other.unsteady);
    }

    /// Prints what failed, and what failed once.
    fn complain(&self) {
        for why in &self.failed {
            println!("    FAILED: {why}");
        }
        for why in &self.unsteady {
            println!("    UNSTEADY: {why}");
        }
    }
}

/// One stage that is over.
#[derive(Debug)]
struct Row {
    name: String,
    took: Duration,
    outcome: Outcome,
}

/// The stages of a run, in order.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: Vec<Row>,
}

impl Tally {
    /// Runs a stage, prints its name, time and result, and remembers them.
    pub(crate) fn stage(&mut self, name: &str, check: impl FnOnce() -> Outcome) {
        println!("==> {name}");
        let start = Instant::now();
        let outcome = check();
        self.note(name, start.elapsed(), outcome);
    }

    /// Remembers a stage that ran elsewhere.
    pub(crate) fn note(&mut self, name: &str, took: Duration, mut outcome: Outcome) {
        if outcome == Outcome::default() {
            outcome.failed.push("no check ran".into());
        }
        for why in &outcome.skipped {
            println!("    skipped: {why}");
        }
        outcome.complain();
        let row = Row { name: name.into(), took, outcome };
        println!("{}\n", row.line());
        self.rows.push(row);
    }

    /// Tells whether a stage of this name passed.
    pub(crate) fn passed(&self, name: &str) -> bool {
        self.rows.iter().any(|it| it.name == name && it.outcome.failed.is_empty())
    }

    /// Prints all results and the line of counts; the exit code says whether anything failed.
    pub(crate) fn close(self) -> ExitCode {
        if self.rows.len() > 1 {
            println!("==> all stages");
        }
        for row in self.rows.iter().filter(|_| self.rows.len() > 1) {
            println!("{}", row.line());
            row.outcome.complain();
        }
        println!("\n{}", self.counts());
        let failed = self.rows.iter().any(|it| !it.outcome.failed.is_empty());
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn counts(&self) -> String {
        let mut sums = [0, 0, 0, 0];
        for Row { outcome, .. } in &self.rows {
            sums[0] += outcome.passed as usize;
            sums[1] += outcome.failed.len();
            sums[2] += outcome.skipped.len();
            sums[3] += outcome.unsteady.len();
        }
        let [passed, failed, skipped, unsteady] = sums;
        let counts = format!("{passed} passed, {failed} failed, {skipped} skipped");
        if unsteady == 0 { counts } else { format!("{counts}, {unsteady} unsteady") }
    }
}

impl Row {
    fn line(&self) -> String {
        let Outcome { passed, failed, skipped, .. } = &self.outcome;
        let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
        format!(
            "{verdict:<6} {:<28} {:>6.1} s   {passed} passed, {} failed, {} skipped",
            self.name,
            self.took.as_secs_f64(),
            failed.len(),
            skipped.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_one_line_that_a_machine_reads() {
        let mut tally = Tally::default();
        tally.note("a", Duration::ZERO, Outcome { passed: 3, ..Outcome::default() });
        tally.note("b", Duration::ZERO, Outcome::failure("why"));
        tally.note("c", Duration::ZERO, Outcome::skip("why not"));
        assert_eq!(tally.counts(), "3 passed, 1 failed, 1 skipped");
        assert!(tally.passed("a") && !tally.passed("b") && !tally.passed("z"));
        assert_eq!(tally.close(), ExitCode::FAILURE);
    }

    #[test]
    fn what_is_unsteady_is_counted_but_fails_nothing() {
        let mut tally = Tally::default();
        let unsteady = vec!["a".into()];
        tally.note("a", Duration::ZERO, Outcome { passed: 3, unsteady, ..Outcome::default() });
        assert_eq!(tally.counts(), "3 passed, 0 failed, 0 skipped, 1 unsteady");
        assert_eq!(tally.close(), ExitCode::SUCCESS);
    }

    #[test]
    fn a_stage_without_a_check_fails() {
        let mut tally = Tally::default();
        tally.stage("empty", Outcome::default);
        assert_eq!(tally.counts(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(tally.close(), ExitCode::FAILURE);
    }
}
