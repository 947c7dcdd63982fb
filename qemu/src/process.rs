use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::{Error, Result};

/// Processor time that a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In its own code.
    pub user: Duration,
    /// In the kernel for it.
    pub system: Duration,
}

impl CpuTime {
    /// Both together.
    pub fn total(&self) -> Duration {
        self.user + self.system
    }

    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields 14 and 15 of /proc/pid/stat, proc(5). The second may hold spaces and brackets.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut ticks = || -> Option<Duration> {
            let ticks: u64 = fields.next()?.parse().ok()?;
            let per_second = rustix::param::clock_ticks_per_second();
            Some(Duration::from_millis(ticks.checked_mul(1000)?.checked_div(per_second)?))
        };
        Some(Self { user: ticks()?, system: ticks()? })
    }
}

/// A child process that ends with its owner.
#[derive(Debug)]
pub struct Process {
    child: Child,
    command: String,
    log: PathBuf,
    ended: Option<(ExitStatus, CpuTime)>,
}

impl Process {
    /// Starts `program` with its standard output and error appended to the file `log`.
    ///
    /// Where util-linux's setpriv is there, the kernel kills the child when this process dies, so
    /// that a killed test leaves no QEMU behind. Keys typed at the terminal signal the owner only.
    pub fn start(mut command: Vec<String>, env: &Environment, log: &Path) -> Result<Self> {
        let shown = shell_line(&command);
        let setpriv = Path::new("/usr/bin/setpriv");
        if setpriv.exists() {
            let prefix = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"];
            command.splice(0..0, prefix.map(str::to_owned));
        }
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.map_err(Error::file("open", log))?;
        let errors = output.try_clone().map_err(Error::file("open", log))?;
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::Description("empty command".into()));
        };
        let mut job = Command::new(program);
        job.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        job.process_group(0).envs(env.iter().map(|(name, value)| (name, value)));
        let child = spawn(job).map_err(|source| Error::Start { command: shown.clone(), source })?;
        Ok(Self { child, command: shown, log: log.to_owned(), ended: None })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time used so far, or until its end.
    pub fn cpu_time(&self) -> CpuTime {
        self.ended
            .map(|(_, time)| time)
            .or_else(|| CpuTime::of(self.child.id()))
            .unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() && self.is_zombie() {
            // Its times are gone once it is reaped.
            let time = CpuTime::of(self.child.id()).unwrap_or_default();
            self.ended = self.child.wait().ok().map(|status| (status, time));
        }
        self.ended.map(|(status, _)| status)
    }

    /// Waits for its end; how it ended, or nothing when time is up.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(status) = self.poll() {
                return Some(status);
            }
            if Instant::now() >= end {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it at once and reaps it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        while self.poll().is_none() && !matches!(self.child.try_wait(), Err(_) | Ok(Some(_))) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Asks it to end; kills it after `grace`.
    pub fn terminate(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        if self.wait(grace).is_none() {
            self.kill();
        }
    }

    /// The error for a process that should not have ended yet.
    pub fn failure(&mut self) -> Error {
        let status = self.poll().map_or_else(|| "no answer".to_owned(), |s| s.to_string());
        Error::Command { command: self.command.clone(), status, output: tail_of(&self.log) }
    }

    fn signal(&self, signal: Signal) {
        // Not reaped yet, so the number is still this child's.
        if self.ended.is_none()
            && let Some(pid) = self.rustix_pid()
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn is_zombie(&self) -> bool {
        let Some(pid) = self.rustix_pid() else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None))
    }

    fn rustix_pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.poll().is_none() {
            self.kill();
        }
    }
}

/// Variables added to the environment of a command.
pub(crate) type Environment = [(String, String)];

/// Runs a command to its end; its standard output is the result.
pub(crate) fn run(command: &[String], env: &Environment) -> Result<Vec<u8>> {
    let shown = shell_line(command);
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::Description("empty command".into()));
    };
    let output = Command::new(program)
        .args(arguments)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Start { command: shown.clone(), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut text = output.stdout;
    text.extend(output.stderr);
    let text = String::from_utf8_lossy(&text);
    Err(Error::Command { command: shown, status: output.status.to_string(), output: tail(&text) })
}

/// Starts a child on a thread that lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that started the child ends
/// (prctl(2), `PR_SET_PDEATHSIG`), and a test's thread ends before its devices need to.
fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, result) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes has ended");
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

/// A command as a person would type it.
pub(crate) fn shell_line(command: &[String]) -> String {
    struct Quoted<'a>(&'a str);
    impl fmt::Display for Quoted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
            if !self.0.is_empty() && self.0.chars().all(plain) {
                f.write_str(self.0)
            } else {
                write!(f, "'{}'", self.0.replace('\'', r"'\''"))
            }
        }
    }
    let words: Vec<String> = command.iter().map(|word| Quoted(word).to_string()).collect();
    words.join(" ")
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn tail_of(log: &Path) -> String {
    match fs::read(log) {
        Ok(bytes) => tail(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("({}: {error})", log.display()),
    }
}

/// Where `program` is on the search path.
pub(crate) fn find_program(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(program.as_ref()))
        .find(|candidate| File::open(candidate).is_ok_and(|_| candidate.is_file()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{CpuTime, Process, run, shell_line};
    use crate::Error;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn cpu_time_is_read_past_a_hostile_program_name() {
        let fields: Vec<String> = (3..=20).map(|field| field.to_string()).collect();
        let stat = format!("42 (a) b (c) {}", fields.join(" "));
        let time = CpuTime::parse(&stat).unwrap();
        let per_second = rustix::param::clock_ticks_per_second();
        assert_eq!(time.user, Duration::from_millis(14 * 1000 / per_second));
        assert_eq!(time.system, Duration::from_millis(15 * 1000 / per_second));
    }

    #[test]
    fn a_failed_command_is_shown_with_its_last_words() {
        let command = words(&["sh", "-c", "echo one; echo two >&2; exit 3"]);
        let error = run(&command, &[]).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("two"), "{error}");
        assert!(error.contains("sh -c 'echo one; echo two >&2; exit 3'"), "{error}");
    }

    #[test]
    fn quotes_are_quoted() {
        assert_eq!(shell_line(&words(&["a", "b c", "d'e", ""])), r"a 'b c' 'd'\''e' ''");
    }

    #[test]
    fn a_child_is_killed_with_its_owner_and_its_time_survives_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let busy = words(&["sh", "-c", "while :; do :; done"]);
        let mut process = Process::start(busy, &[], &log).unwrap();
        let pid = process.pid();
        let begun = Instant::now();
        while process.cpu_time().total() < Duration::from_millis(50) {
            assert!(begun.elapsed() < Duration::from_secs(20), "the child does not run");
            std::thread::sleep(Duration::from_millis(10));
        }
        process.kill();
        assert!(process.cpu_time().total() >= Duration::from_millis(50));
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_program_that_ends_early_tells_why() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process =
            Process::start(words(&["sh", "-c", "echo no such disk; exit 1"]), &[], &log).unwrap();
        assert!(process.wait(Duration::from_secs(20)).is_some());
        let error = process.failure();
        assert!(matches!(&error, Error::Command { output, .. } if output == "no such disk"));
    }
}
