//! [`Process`]: what Linux knows of this process, read from `/proc`.

use std::fs;

/// What Linux knows of this process. What can't be read is left out, elsewhere than on Linux all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) start_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

/// `AT_CLKTCK` and `AT_PAGESZ` of the auxiliary vector (getauxval(3)).
const CLOCK_TICKS: usize = 17;
const PAGE_BYTES: usize = 6;

impl Process {
    pub(super) fn read() -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).ok();
        let auxiliary = fs::read("/proc/self/auxv").unwrap_or_default();
        let ticks = auxiliary_value(&auxiliary, CLOCK_TICKS);
        let page = auxiliary_value(&auxiliary, PAGE_BYTES);
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|it| boot_seconds(&it));
        let mut process = Self {
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|it| it.count() as u64),
            max_fds: read("limits").and_then(|it| max_fds(&it)),
            ..Self::default()
        };
        if let Some(stat) = read("stat") {
            process.stat(&stat, ticks, page, boot);
        }
        process
    }

    /// Reads a line of proc_pid_stat(5).
    fn stat(&mut self, line: &str, ticks: Option<u64>, page: Option<u64>, boot: Option<u64>) {
        // The second field is the program's name in parentheses, which may have anything in it.
        let Some((_, rest)) = line.rsplit_once(") ") else { return };
        let fields = rest.split_ascii_whitespace().collect::<Vec<_>>();
        // The page numbers fields from 1; the third one is the first here.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |of: u64| Some(of as f64 / ticks.filter(|it| *it > 0)? as f64);
        self.cpu_seconds =
            field(14).zip(field(15)).and_then(|(user, system)| seconds(user + system));
        let since_boot = field(22).and_then(seconds);
        self.start_seconds = since_boot.zip(boot).map(|(since, boot)| boot as f64 + since);
        self.threads = field(20);
        self.virtual_bytes = field(23);
        self.resident_bytes = field(24).zip(page).map(|(pages, bytes)| pages * bytes);
    }
}

/// Reads pairs of words.
fn auxiliary_value(vector: &[u8], key: usize) -> Option<u64> {
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| Some(usize::from_ne_bytes(bytes.try_into().ok()?));
    let pairs = vector.chunks_exact(2 * WORD);
    let mut pairs = pairs.filter_map(|it| Some((word(&it[..WORD])?, word(&it[WORD..])?)));
    pairs.find(|(it, _)| *it == key).map(|(_, value)| value as u64)
}

fn boot_seconds(stat: &str) -> Option<u64> {
    stat.lines().find_map(|it| it.strip_prefix("btime "))?.trim().parse().ok()
}

/// Reads the soft limit; `unlimited` is none.
fn max_fds(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|it| it.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let line =
            "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1000 4096000 25 1";
        let mut process = Process::default();
        process.stat(line, Some(100), Some(4096), Some(1_000_000));
        assert_eq!(process.cpu_seconds, Some(3.0));
        assert_eq!(process.start_seconds, Some(1_000_010.0));
        assert_eq!((process.threads, process.virtual_bytes), (Some(3), Some(4_096_000)));
        assert_eq!(process.resident_bytes, Some(25 * 4096));
    }

    #[test]
    fn nonsense_is_left_out() {
        let mut process = Process::default();
        for line in ["", "7 (a", "7 (a) S", "7 (a) S x y z"] {
            process.stat(line, Some(0), None, None);
        }
        assert!(process.cpu_seconds.is_none() && process.threads.is_none());
        assert_eq!(auxiliary_value(&[1, 2, 3], 17), None);
        assert_eq!(max_fds("Max open files            unlimited  unlimited  files\n"), None);
        assert_eq!(max_fds("Max open files            1024       4096       files\n"), Some(1024));
        assert_eq!(boot_seconds("cpu 1\nbtime 12\n"), Some(12));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_all_of_it() {
        let process = Process::read();
        let started = process.start_seconds.unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!((0.0..86_400.0).contains(&(now.as_secs_f64() - started)), "{started}");
        assert!(process.resident_bytes.unwrap() > 1 << 20 && process.cpu_seconds.is_some());
        assert!(process.virtual_bytes > process.resident_bytes);
        assert!(process.open_fds.unwrap() > 2 && process.threads.unwrap() > 0);
    }
}
