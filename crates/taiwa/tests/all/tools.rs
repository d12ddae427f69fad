//! Other people's programs for tests: started in a folder that goes with the test, ended by their id.

use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

/// Tells whether a program is missing, and says that the test is skipped then.
pub(crate) fn lacks(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    // Debian has servers there, and not all users look there.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&paths).chain(more).any(|it| it.join(program).is_file());
    if !found {
        eprintln!("skipped: {program} is not installed (cargo xtask setup)");
    }
    !found
}

/// A folder of one test's own.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("taiwa-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder of our own");
        Self(path)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("room for a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running program, whose two outputs are one text.
pub(crate) struct Tool {
    child: Child,
    stdin: ChildStdin,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Tool {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it is installed");
        let said = Arc::new(Mutex::new(Vec::new()));
        listen(child.stdout.take().expect("piped"), Arc::clone(&said));
        listen(child.stderr.take().expect("piped"), Arc::clone(&said));
        let stdin = child.stdin.take().expect("piped");
        Self { child, stdin, said }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.stdin.write_all(bytes).and_then(|()| self.stdin.flush()).expect("it listens");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// What it said until now, with anything that is no text made visible.
    pub(crate) fn said(&self) -> String {
        let escaped = self.said.lock().unwrap().escape_ascii().to_string();
        escaped.replace("\\n", "\n").replace("\\\"", "\"")
    }

    /// Waits until it has said `part` so many times. Returns all that it said.
    #[track_caller]
    pub(crate) fn says(&self, part: &str, times: usize) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            for _ in 0..6000 {
                let said = self.said();
                if said.matches(part).count() >= times {
                    return said;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("no {part:?} for {place} in: {}", self.said());
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(mut from: impl Read + Send + 'static, said: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            said.lock().unwrap().extend_from_slice(&bytes[..len]);
        }
    });
}
