//! The table of goals in README.md: that of the last results.

use std::{fs, path::Path};

/// Between these lines it stands.
const BEGIN: &str = "<!-- goals, by `cargo xtask bench --goals` -->\n";
const END: &str = "<!-- end of the goals -->\n";

/// Where the results stand.
const RESULTS: &str = "bench/results/goals/README.md";
const SHOWN: &str = "README.md";

/// Writes the goals of the last results into README.md.
pub(crate) fn renew(root: &Path) -> Result<(), String> {
    let table = table(&read(root, RESULTS)?)?;
    let readme = read(root, SHOWN)?;
    let (before, rest) = readme.split_once(BEGIN).ok_or("README.md shows no goals")?;
    let (_, after) = rest.split_once(END).ok_or("the goals in README.md have no end")?;
    let renewed = [before, BEGIN, "\n", &table, "\n", END, after].concat();
    fs::write(root.join(SHOWN), renewed).map_err(|it| format!("{SHOWN}: {it}"))
}

/// Finds whether README.md shows other goals than the results have.
pub(crate) fn faults(root: &Path) -> Vec<String> {
    let compared = || {
        let (table, readme) = (table(&read(root, RESULTS)?)?, read(root, SHOWN)?);
        let shown = readme.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
        match shown {
            Some((shown, _)) if shown.trim() == table.trim() => Ok(()),
            _ => Err(format!("{SHOWN} does not show the goals as {RESULTS} has them")),
        }
    };
    compared().err().into_iter().collect()
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    fs::read_to_string(root.join(path)).map_err(|it| format!("{path}: {it}"))
}

/// Returns the table of goals of a report.
fn table(report: &str) -> Result<String, String> {
    let (_, goals) = report.split_once("\n## Goals\n").ok_or("the results have no goals")?;
    let lines = goals.lines().skip_while(|it| !it.starts_with('|'));
    let table: String =
        lines.take_while(|it| it.starts_with('|')).flat_map(|it| [it, "\n"]).collect();
    if table.is_empty() { Err("the goals are no table".into()) } else { Ok(table) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goals_of_a_report_are_its_second_table() {
        let report = "| a |\n|---|\n\n## Goals\n\nAll of them.\n\n| row |\n|---|\n| one |\n\nVersions: 1.\n| no |\n";
        assert_eq!(table(report).unwrap(), "| row |\n|---|\n| one |\n");
        assert!(table("| a |\n").is_err() && table("\n## Goals\nnone\n").is_err());
    }

    #[test]
    fn what_is_shown_is_what_was_measured() {
        let root = std::env::temp_dir().join(format!("taiwa-shown-{}", std::process::id()));
        fs::create_dir_all(root.join("bench/results/goals")).unwrap();
        fs::write(root.join(RESULTS), "\n## Goals\n\n| new |\n").unwrap();
        fs::write(root.join(SHOWN), format!("before\n{BEGIN}\n| old |\n\n{END}after\n")).unwrap();
        assert_eq!(faults(&root).len(), 1);
        renew(&root).unwrap();
        assert_eq!(faults(&root), [""; 0]);
        let shown = fs::read_to_string(root.join(SHOWN)).unwrap();
        assert_eq!(shown, format!("before\n{BEGIN}\n| new |\n\n{END}after\n"));
        fs::remove_dir_all(&root).unwrap();
    }
}
