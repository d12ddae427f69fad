//! Help, completions and man pages: made from one definition, so that each names every flag.

mod support;

use support::run;

/// Flags of both commands that only they have.
const FLAGS: [&str; 6] = [
    "--listen",
    "--tls-cert",
    "--connections-max",
    "--idle-timeout",
    "--timestamps",
    "--delimiter",
];

#[test]
fn help_has_defaults_examples_and_exit_codes() {
    let serve = run(&["serve", "--help"], "").expect(0);
    let connect = run(&["connect", "--help"], "").expect(0);
    for (outcome, parts) in [
        (
            &serve,
            ["[default: 1MiB]", "[default: 30s]", "[default: 10000]", "Examples:", "Exit codes:"],
        ),
        (
            &connect,
            ["[default: 64MiB]", "[default: 2s]", "[default: lf]", "Examples:", "Exit codes:"],
        ),
    ] {
        for part in parts {
            assert!(outcome.stdout_text().contains(part), "no {part}:\n{}", outcome.stdout_text());
        }
    }
    let both = format!("{}{}", serve.stdout_text(), connect.stdout_text());
    for flag in FLAGS {
        assert!(both.contains(flag), "no {flag}");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let outcome = run(&["completions", shell], "").expect(0);
        let script = outcome.stdout_text();
        for flag in FLAGS {
            assert!(script.contains(flag.trim_start_matches('-')), "no {flag} for {shell}");
        }
    }
}

#[test]
fn man_pages_are_written_one_for_each_command() {
    let folder = std::env::temp_dir().join(format!("taiwa-test-man-{}", std::process::id()));
    run(&["man", folder.to_str().unwrap()], "").expect(0);
    let pages: String = ["taiwa.1", "taiwa-serve.1", "taiwa-connect.1", "taiwa-man.1"]
        .iter()
        .map(|it| std::fs::read_to_string(folder.join(it)).unwrap())
        .collect();
    let _ = std::fs::remove_dir_all(&folder);
    for flag in FLAGS {
        assert!(pages.contains(&flag.replace('-', "\\-")), "no {flag}");
    }
}
