//! Rules for words in any text file: nothing undone, nothing of one machine.

use super::{masked, tree::Text};

/// Finds the marks that programmers leave where work is undone.
pub(super) fn unfinished(texts: &[Text]) -> Vec<String> {
    // In two parts, so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]].map(|it| it.concat());
    let mut faults = vec![];
    for text in texts.iter().filter(|it| !is_lock(&it.path)) {
        for mark in &marks {
            for at in masked::words(&text.content, mark) {
                let line = masked::line(&text.content, at);
                faults.push(format!("{}:{line}: {mark}: do it, or say it in an issue", text.path));
            }
        }
    }
    faults
}

/// Finds what is true on one machine only: its folders, and download addresses in lock files.
pub(super) fn machine(texts: &[Text], root: &str) -> Vec<String> {
    let folders = [["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"], ["C:", "\\Users"]]
        .map(|it| it.concat())
        .into_iter()
        .chain([format!("{root}/")]);
    let folders: Vec<String> = folders.filter(|it| it.len() > 4).collect();
    let mut faults = vec![];
    for text in texts {
        for folder in &folders {
            if let Some(at) = text.content.find(folder) {
                let line = masked::line(&text.content, at);
                faults.push(format!("{}:{line}: {folder} is a folder of one machine", text.path));
            }
        }
        let address = text.content.find("\"resolved\": \"http");
        if let Some(at) = address.filter(|_| is_lock(&text.path)) {
            let line = masked::line(&text.content, at);
            faults.push(format!(
                "{}:{line}: a lock file holds no address (npm's omit-lockfile-registry-resolved)",
                text.path
            ));
        }
    }
    faults
}

fn is_lock(path: &str) -> bool {
    path.ends_with("package-lock.json")
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[test]
    fn marks_of_undone_work_are_found() {
        for mark in [["// TO", "DO: x"], ["# FIX", "ME"], ["XX", "X"], ["a HA", "CK b"]] {
            let mark = mark.concat();
            assert_eq!(unfinished(&[text("a.md", &mark)]).len(), 1, "{mark}");
        }
        assert_eq!(unfinished(&[text("a.rs", "mastodon TODOS fixme")]), [""; 0]);
    }

    #[test]
    fn folders_of_one_machine_are_found() {
        for folder in
            [["/ro", "ot/x"], ["/ho", "me/ada/x"], ["/Us", "ers/ada"], ["/srv/ta", "iwa/x"]]
        {
            let content = format!("see {}", folder.concat());
            assert_eq!(machine(&[text("a.md", &content)], "/srv/taiwa").len(), 1, "{content}");
        }
        assert_eq!(machine(&[text("a.md", "/usr/bin/chromium /tmp/x")], "/srv/taiwa"), [""; 0]);
    }

    #[test]
    fn lock_files_hold_no_download_address() {
        let bad = "\"a\": {\n  \"resolved\": \"https://registry.example/a.tgz\"\n}";
        assert_eq!(machine(&[text("x/package-lock.json", bad)], "/srv/taiwa").len(), 1);
        let good = "\"a\": { \"integrity\": \"sha512-x\" }";
        assert_eq!(machine(&[text("x/package-lock.json", good)], "/srv/taiwa"), [""; 0]);
    }
}
