//! Verdicts: what kosoku writes into `index.json`, and which of it passes.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::Value;

use crate::outcome::Outcome;

/// The verdict of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// On the messages.
    pub(super) behavior: String,
    /// On the closing handshake.
    pub(super) behavior_close: String,
    /// The close code that our side sent, if any.
    pub(super) close_code: Option<u64>,
    /// Time of the case.
    pub(super) millis: u64,
}

impl Verdict {
    /// Tells whether the case passed. NON-STRICT does not: what the RFC leaves to us is
    /// INFORMATIONAL, what it wishes is NON-STRICT, and we do what it wishes.
    pub(super) fn passes(&self) -> bool {
        let passes = |it: &str| matches!(it, "OK" | "INFORMATIONAL");
        passes(&self.behavior) && passes(&self.behavior_close)
    }
}

/// A case's number, ordered as numbers are: 1.2 before 1.10.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CaseId(Vec<u32>);

impl CaseId {
    fn parse(id: &str) -> Option<Self> {
        id.split('.').map(|it| it.parse().ok()).collect::<Option<_>>().map(Self)
    }

    /// Returns the first number.
    pub(super) fn group(&self) -> u32 {
        self.0.first().copied().unwrap_or_default()
    }
}

impl std::fmt::Display for CaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
    }
}

/// The verdicts of one leg.
#[derive(Debug)]
pub(super) struct Report {
    /// By case.
    pub(super) verdicts: BTreeMap<CaseId, Verdict>,
    /// How many there must be.
    pub(super) expected: usize,
    /// Time of the leg.
    pub(super) took: Duration,
}

impl Report {
    /// Reads the `index.json` in `folder`.
    pub(super) fn read(folder: &Path, expected: usize, took: Duration) -> Result<Self, String> {
        let path = folder.join("index.json");
        let text = fs::read_to_string(&path).map_err(|it| format!("{}: {it}", path.display()))?;
        let json = serde_json::from_str(&text).map_err(|it| format!("{}: {it}", path.display()))?;
        Self::parse(&json, expected, took)
    }

    fn parse(json: &Value, expected: usize, took: Duration) -> Result<Self, String> {
        let agents = json.as_object().ok_or("index.json is no object")?;
        let mut verdicts = BTreeMap::new();
        for (id, entry) in agents.values().filter_map(Value::as_object).flatten() {
            let word = |key: &str| {
                let word = entry[key].as_str().ok_or(format!("case {id} has no {key}"))?;
                Ok::<_, String>(word.to_owned())
            };
            let verdict = Verdict {
                behavior: word("behavior")?,
                behavior_close: word("behaviorClose")?,
                close_code: entry["remoteCloseCode"].as_u64(),
                millis: entry["duration"].as_u64().unwrap_or_default(),
            };
            let case = CaseId::parse(id).ok_or(format!("{id} is no case"))?;
            // An agent that changes its name between cases does not get two tries at one.
            if verdicts.insert(case, verdict).is_some() {
                return Err(format!("two verdicts on case {id}"));
            }
        }
        Ok(Self { verdicts, expected, took })
    }

    /// Counts; every case that did not pass, and every one that is missing, is a failure.
    pub(super) fn outcome(&self) -> Outcome {
        let mut outcome = Outcome::default();
        for (case, verdict) in &self.verdicts {
            if verdict.passes() {
                outcome.passed += 1;
                continue;
            }
            let Verdict { behavior, behavior_close, close_code, .. } = verdict;
            let code = close_code.map_or("no close code".into(), |it| format!("close code {it}"));
            outcome.failed.push(format!("case {case}: {behavior} / {behavior_close} ({code})"));
        }
        if self.verdicts.len() != self.expected {
            let (found, expected) = (self.verdicts.len(), self.expected);
            outcome.failed.push(format!("{found} cases have a verdict, {expected} must have one"));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(behavior: &str, behavior_close: &str, passes: bool) {
        let json = serde_json::json!({"taiwa": {"6.4.1": {
            "behavior": behavior, "behaviorClose": behavior_close,
            "remoteCloseCode": 1007, "duration": 7,
        }}});
        let outcome = Report::parse(&json, 1, Duration::ZERO).unwrap().outcome();
        assert_eq!(outcome.passed, u32::from(passes));
        assert_eq!(outcome.failed.len(), usize::from(!passes));
    }

    #[test]
    fn only_ok_and_informational_pass() {
        check("OK", "OK", true);
        check("INFORMATIONAL", "INFORMATIONAL", true);
        check("OK", "INFORMATIONAL", true);
        for bad in
            ["NON-STRICT", "FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "ERROR", "", "ok"]
        {
            check(bad, "OK", false);
            check("OK", bad, false);
        }
    }

    #[test]
    fn a_missing_case_is_a_failure() {
        let json = serde_json::json!({"taiwa": {}});
        let outcome = Report::parse(&json, 301, Duration::ZERO).unwrap().outcome();
        assert_eq!(outcome.failed, ["0 cases have a verdict, 301 must have one"]);
    }

    #[test]
    fn a_case_has_one_verdict() {
        let entry = serde_json::json!({"1.1.1": {"behavior": "OK", "behaviorClose": "OK"}});
        let twice = serde_json::json!({"a": entry, "b": entry});
        assert!(Report::parse(&twice, 1, Duration::ZERO).is_err());
        let none = serde_json::json!({"a": {"1.1.1": {"behavior": "OK"}}});
        assert!(Report::parse(&none, 1, Duration::ZERO).is_err());
    }

    #[test]
    fn cases_are_ordered_as_numbers() {
        let id = |it| CaseId::parse(it).unwrap();
        assert!(id("1.2.9") < id("1.2.10") && id("9.1") < id("10.1.1"));
        assert_eq!(id("12.1.10").to_string(), "12.1.10");
        assert_eq!(CaseId::parse("x"), None);
    }
}
