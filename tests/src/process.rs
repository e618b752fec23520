//! Child processes that cannot hang a test: each has a time limit, after which
//! its whole process group is killed and the test fails with the command's line.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// More than any single command of the suite needs on two busy cores.
pub const LIMIT: Duration = Duration::from_secs(120);

/// How long a command may go on when nobody needs it any more.
const LINGER: Duration = Duration::from_secs(10);

/// A loopback address that no other test process has.
pub fn loopback(number: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, number)
}

/// Runs a command to its end with `input` on its standard input.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Output {
    run_while(command, input, limit, || true).expect("needed to the end")
}

/// The same for as long as it is needed, and a little longer: then it is killed.
#[track_caller]
pub fn run_while(
    command: &mut Command,
    input: &[u8],
    limit: Duration,
    needed: impl Fn() -> bool,
) -> Option<Output> {
    let line = describe(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
    let group = Pid::from_raw(child.id().try_into().expect("a pid"));
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // A child may answer before it has read everything, or not read at all; both
    // directions therefore have their own thread.
    std::thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let (began, mut last_needed) = (Instant::now(), Instant::now());
    loop {
        match ended.recv_timeout(Duration::from_millis(100)) {
            Ok(output) => return Some(output.unwrap_or_else(|error| panic!("{line}: {error}"))),
            Err(RecvTimeoutError::Disconnected) => unreachable!("it sends before it ends"),
            Err(RecvTimeoutError::Timeout) if needed() => last_needed = Instant::now(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if last_needed.elapsed() > LINGER {
            let _ = killpg(group, Signal::SIGKILL);
            return None;
        }
        if began.elapsed() > limit {
            let waiting = waiting(Some(group));
            let _ = killpg(group, Signal::SIGKILL);
            panic!("did not end within {limit:?}: {line}\n{waiting}");
        }
    }
}

/// Where the threads of a process group, of every daemon and of every git wait in the kernel: why a command hangs.
pub fn waiting(group: Option<Pid>) -> String {
    let mut report = String::new();
    for process in numbers(Path::new("/proc")) {
        let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
        let stat = read("stat");
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        // proc_pid_stat(5), from the third field on: state, parent, group.
        let in_group = group.is_some_and(|it| fields.split(' ').nth(2) == Some(&it.to_string()));
        let comm = read("comm");
        if !in_group && !comm.starts_with("git") && comm != "adversary\n" {
            continue;
        }
        let line = read("cmdline").replace('\0', " ");
        let used = fields.split(' ').skip(11).take(2).collect::<Vec<_>>();
        let ticks = used.join(" + ");
        report += &format!(
            "{} {line}({ticks} ticks of a processor)\n",
            process.display()
        );
        for thread in numbers(&process.join("task")) {
            let read = |name: &str| fs::read_to_string(thread.join(name)).unwrap_or_default();
            let (name, stack) = (read("comm"), read("stack"));
            let calls = stack.lines().filter_map(|line| line.split(' ').nth(1));
            let calls: Vec<_> = calls.take(6).collect();
            report += &format!("    {}: {}\n", name.trim(), calls.join(" < "));
        }
    }
    report
}

/// The entries of a directory that are numbers.
fn numbers(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let number = |name: OsString| {
        name.to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok())
    };
    let numbers = entries.filter(|entry| number(entry.file_name()));
    numbers.map(|entry| entry.path()).collect()
}

/// The command's line and directory, for messages.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    match command.get_current_dir() {
        Some(dir) => format!("`{}` in {}", line.join(" "), dir.display()),
        None => format!("`{}`", line.join(" ")),
    }
}

/// Exit status and both streams, for messages.
pub fn report(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        ending(output.status),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )
}

fn ending(status: ExitStatus) -> String {
    format!("ended with {status}")
}

/// A line of /proc/PID/status that is an amount of memory (`VmRSS`, `RssAnon`; `VmHWM` is the most that it
/// ever had), bytes.
#[track_caller]
pub fn memory(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let of = |text: &str| {
        let amount = text.strip_prefix(line)?.strip_prefix(':')?;
        amount.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    status.lines().find_map(of).expect("a number of kB") << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "sleep: ")]
    fn a_command_that_hangs_says_where() {
        let mut command = Command::new("sleep");
        run(command.arg("1000"), b"", Duration::from_millis(200));
    }
}
