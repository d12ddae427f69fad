//! `tidy`: the rules of the house that the compiler does not check.

mod markdown;
mod masked;
mod names;
mod promises;
mod rust;
mod tree;
mod wings;
mod words;

use crate::{outcome::Outcome, shown, workspace::Workspace};

/// Checks every rule; each is one check of the outcome.
pub(crate) fn run(workspace: &Workspace) -> Outcome {
    let texts = match tree::read(&workspace.root) {
        Ok(texts) => texts,
        Err(why) => return Outcome::failure(why),
    };
    let root = workspace.root.to_string_lossy();
    let mut outcome = Outcome::default();
    for (rule, faults) in [
        ("who may depend on whom", wings::dependencies(&workspace.metadata)),
        ("rooms have the same files", wings::rooms(&texts)),
        ("no clock, socket or thread below the server", wings::purity(&texts)),
        ("a file has at most 500 lines", rust::long_files(&texts)),
        ("a function has at most 70 lines", rust::long_functions(&texts)),
        ("a file says in its first line what it is for", rust::first_lines(&texts)),
        ("nothing is left to do, no test is silently ignored", rust::leftovers(&texts)),
        ("who waits says what cancelling does", promises::cancellation(&texts)),
        ("names say what things are", names::faults(&texts)),
        ("no word of work left undone", words::unfinished(&texts)),
        ("no path or address of one machine", words::machine(&texts, &root)),
        ("README.md shows the goals as measured", shown::faults(&workspace.root)),
        ("every relative link resolves", markdown::links(&texts, &workspace.root)),
    ] {
        println!("    {:<6} {rule}", if faults.is_empty() { "ok" } else { "FAILED" });
        outcome.passed += u32::from(faults.is_empty());
        outcome.failed.extend(faults);
    }
    outcome
}

/// Makes a rule's faults out of texts, for the rules' tests.
#[cfg(test)]
fn text(path: &str, content: &str) -> tree::Text {
    tree::Text::new(path.into(), content.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn house_is_tidy() {
        let outcome = run(&Workspace::find().unwrap());
        assert_eq!(outcome.failed, [""; 0]);
        assert_eq!(outcome.passed, 13);
    }
}
