//! The record of a whole run: conformance/autobahn/results.json.

use std::{collections::BTreeMap, fs};

use serde_json::{Map, Value, json};

use crate::{process::ask, workspace::Workspace};

use super::{Leg, report::Report};

const PATH: &str = "conformance/autobahn/results.json";

/// Writes date, versions, machine and the verdicts of every leg.
pub(super) fn write(workspace: &Workspace, reports: &[(Leg, Report)]) -> Result<(), String> {
    if reports.len() != super::LEGS.len() {
        return Err("not every leg came to a report; the record stays as it was".into());
    }
    let tell = |program: &str, args: &[&str]| {
        ask(workspace.command(program).args(args)).unwrap_or_else(|_| "unknown".into())
    };
    let kosoku = ["-c", "import importlib.metadata as m; print(m.version('kosoku'))"];
    let python = workspace.venv("python");
    let record = json!({
        "date": tell("date", &["-u", "+%Y-%m-%d"]),
        "commit": tell("git", &["rev-parse", "--short=12", "HEAD"]),
        "versions": {
            "taiwa": env!("CARGO_PKG_VERSION"),
            "rustc": tell("rustc", &["--version"]),
            "kosoku": tell(&python.to_string_lossy(), &kosoku),
            "openssl": tell("openssl", &["version"]),
        },
        "machine": machine(),
        "legs": reports.iter().map(|(leg, report)| summary(*leg, report)).collect::<Value>(),
    });
    let text = serde_json::to_string_pretty(&record).map_err(|it| it.to_string())?;
    let path = workspace.root.join(PATH);
    fs::write(&path, text + "\n").map_err(|it| format!("{}: {it}", path.display()))
}

/// What the machine is, but not which.
pub(crate) fn machine() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|it| it.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({ "processor": model.map_or("unknown", |(_, it)| it), "cores": cores,
        "system": std::env::consts::OS })
}

fn summary(leg: Leg, report: &Report) -> Value {
    let mut verdicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut counts: BTreeMap<String, BTreeMap<&str, u32>> = BTreeMap::new();
    let mut group_millis: BTreeMap<u32, u64> = BTreeMap::new();
    for (case, verdict) in &report.verdicts {
        let (behavior, close) = (verdict.behavior.as_str(), verdict.behavior_close.as_str());
        verdicts.entry(format!("{behavior} / {close}")).or_default().push(case.to_string());
        *counts.entry("behavior".into()).or_default().entry(behavior).or_default() += 1;
        *counts.entry("behaviorClose".into()).or_default().entry(close).or_default() += 1;
        *group_millis.entry(case.group()).or_default() += verdict.millis;
    }
    let lists: Map<String, Value> =
        verdicts.into_iter().map(|(pair, cases)| (pair, cases.join(" ").into())).collect();
    let millis: Map<String, Value> =
        group_millis.into_iter().map(|(group, it)| (group.to_string(), it.into())).collect();
    json!({
        "name": leg.name,
        "options": format!("{:?}, {:?}", leg.side, leg.transport),
        "cases": report.verdicts.len(),
        "passed": report.verdicts.values().filter(|it| it.passes()).count(),
        "seconds": report.took.as_secs(),
        "counts": counts,
        "millisByGroup": millis,
        "verdicts": lists,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_summary_counts_and_lists_every_case() {
        let json = json!({"taiwa": {
            "1.1.10": {"behavior": "OK", "behaviorClose": "OK", "duration": 3},
            "1.1.9": {"behavior": "OK", "behaviorClose": "OK", "duration": 4},
            "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "UNCLEAN", "duration": 5},
        }});
        let folder = std::env::temp_dir().join(format!("taiwa-results-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("index.json"), json.to_string()).unwrap();
        let report = Report::read(&folder, 3, Duration::from_secs(9)).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let summary = summary(super::super::LEGS[0], &report);
        assert_eq!(summary["cases"], 3);
        assert_eq!(summary["passed"], 2);
        assert_eq!(summary["verdicts"]["OK / OK"], "1.1.9 1.1.10");
        assert_eq!(summary["counts"]["behaviorClose"]["UNCLEAN"], 1);
        assert_eq!(summary["millisByGroup"], json!({"1": 7, "7": 5}));
    }
}
