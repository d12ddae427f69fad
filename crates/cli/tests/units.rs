//! The units of systemd in packaging/: what they rely on is there, and systemd reads them as they are meant.
#![cfg(target_os = "linux")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use support::run;

const SERVICES: [&str; 2] = ["taiwa.service", "taiwa@.service"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Values by `Section.Key`, in their order, as systemd.syntax(7) has it.
fn read(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    let mut section = None;
    for line in text.lines().filter(|it| !it.is_empty() && !it.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = Some(name);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no assignment: {line}"));
        assert!(key.chars().all(char::is_alphanumeric) && !value.ends_with('\\'), "{line}");
        let section = section.unwrap_or_else(|| panic!("before the first section: {line}"));
        all.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
    }
    all
}

/// Returns the one value of a key.
#[track_caller]
fn one(unit: &BTreeMap<String, Vec<String>>, key: &str) -> String {
    match unit.get(key).map(Vec::as_slice) {
        Some([value]) => value.clone(),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn services_say_what_the_server_relies_on() {
    for name in SERVICES {
        let unit = read(&text(name));
        for (key, value) in [
            ("Service.Type", "notify"),
            ("Service.NotifyAccess", "main"),
            ("Service.Restart", "on-failure"),
            // Whose broker is not there yet is tried again, without an end, and whose settings are wrong is not.
            ("Unit.StartLimitIntervalSec", "0"),
            ("Service.RestartPreventExitStatus", "2"),
            ("Service.DynamicUser", "yes"),
            // Processes of several users can't share a port.
            ("Service.User", "taiwa"),
            ("Service.NoNewPrivileges", "yes"),
            ("Service.ProtectSystem", "strict"),
            ("Service.ExecReload", "/bin/kill -HUP $MAINPID"),
            ("Install.WantedBy", "multi-user.target"),
        ] {
            assert_eq!(one(&unit, key), value, "{name}: {key}");
        }
        let number = |key: &str| one(&unit, key).parse::<u64>().unwrap();
        assert!(number("Service.WatchdogSec") >= 10, "{name}: a busy machine is no dead one");
        // drain_wait and drain_period by default, and what the end takes at most.
        assert!(number("Service.TimeoutStopSec") > 10 + 15, "{name}");
        assert!(number("Service.LimitNOFILE") > 1_000_000, "{name}");
        // What the server measures of itself.
        assert!(!unit.contains_key("Service.ProcSubset"), "{name}");
        let families = one(&unit, "Service.RestrictAddressFamilies");
        for family in ["AF_INET", "AF_INET6", "AF_UNIX"] {
            assert!(families.split(' ').any(|it| it == family), "{name}: {family}");
        }
    }
    let socket = read(&text("taiwa.socket"));
    assert!(one(&socket, "Socket.ListenStream").parse::<u16>().is_ok());
    assert!(one(&socket, "Socket.Backlog").parse::<u32>().unwrap() >= 1024);
    // Without it systemd would start a process for each connection.
    assert!(!socket.contains_key("Socket.Accept"));
}

#[test]
fn both_services_are_the_same_but_for_what_they_say() {
    let [one, of_many] = SERVICES.map(|it| {
        let mut unit = read(&text(it));
        for key in ["Unit.Description", "Service.ExecStart"] {
            unit.remove(key).unwrap();
        }
        unit
    });
    assert_eq!(one, of_many);
}

#[test]
fn the_server_takes_the_arguments_of_its_services() {
    let file =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("units-{}.toml", std::process::id()));
    fs::write(&file, "").unwrap();
    for name in SERVICES {
        let command = one(&read(&text(name)), "Service.ExecStart");
        let command = command.replace("/etc/taiwa/taiwa.toml", file.to_str().unwrap());
        let words = command.replace("%i", "blue");
        let words = words.split(' ').collect::<Vec<_>>();
        assert_eq!(words[..2], ["/usr/bin/taiwa", "serve"], "{name}");
        let shown = run(&[&["config", "show"], &words[2..]].concat(), "").expect(0);
        let shares = shown.stdout_text().contains("reuse_port = true");
        assert_eq!(shares, name.contains('@'), "{name}: {}", shown.stdout_text());
    }
    fs::remove_file(&file).unwrap();
}

#[test]
fn systemd_finds_nothing_to_complain_about() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: there is no systemd-analyze; cargo xtask setup installs it");
        return;
    }
    let copies =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("units-{}", std::process::id()));
    fs::create_dir_all(&copies).unwrap();
    let mut paths = vec![];
    for (name, as_name) in [
        ("taiwa.service", "taiwa.service"),
        ("taiwa.socket", "taiwa.socket"),
        ("taiwa@.service", "taiwa@.service"),
        ("taiwa@.service", "taiwa@blue.service"),
    ] {
        // It looks whether the program is there.
        let installed = text(name).replace("/usr/bin/taiwa", env!("CARGO_BIN_EXE_taiwa"));
        let path = copies.join(as_name);
        fs::write(&path, installed).unwrap();
        paths.push(path);
    }
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(paths.iter().filter(|it| !it.ends_with("taiwa@.service")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    // Of units of the machine it may say something, too.
    let ours = said.lines().filter(|it| it.contains("taiwa")).collect::<Vec<_>>();
    assert!(verify.status.success() && ours.is_empty(), "{said}");
    // From 0, nothing is open to it, to 10, everything is; times ten. A service without any hardening has 96.
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&paths[0])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&security.stdout);
    assert!(security.status.success(), "{said} {}", String::from_utf8_lossy(&security.stderr));
    fs::remove_dir_all(&copies).unwrap();
}

#[test]
fn the_parser_of_these_tests_notices_what_is_wrong() {
    let unit = read("# a\n[A]\nB=1\nB=2\n\n[C]\nD=e=f\n");
    assert_eq!(unit["A.B"], ["1", "2"]);
    assert_eq!(one(&unit, "C.D"), "e=f");
    for wrong in ["A=1\n", "[A]\nword\n", "[A]\nB C=1\n"] {
        assert!(std::panic::catch_unwind(|| read(wrong)).is_err(), "{wrong}");
    }
}
