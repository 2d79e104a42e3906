//! A broker as a process of its own, on a scratch directory.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a broker may take to serve, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running broker; killed when dropped.
pub struct Broker {
    child: Child,
    pub address: SocketAddr,
    lines: mpsc::Receiver<String>,
    pub data: PathBuf,
}

/// Small, so that a short test sees journals recycled and segments written; a test's own flags win over them.
const SMALL: [(&str, &str); 7] = [
    ("--listen", "127.0.0.1:0"),
    ("--pin-cores", "false"),
    ("--memory", "256MiB"),
    ("--journal-bytes", "64MiB"),
    ("--journal-file-bytes", "4MiB"),
    ("--write-back-bytes", "16MiB"),
    ("--disk-reserve-bytes", "1MiB"),
];

impl Broker {
    /// Starts a broker on `data` with small journals and further flags; waits until it serves.
    pub fn start(data: &Path, flags: &[&str]) -> Broker {
        let mut broker = Broker::spawn(data, flags);
        broker.await_serving();
        broker
    }

    /// Waits until a broker that was spawned serves, and notes where.
    pub fn await_serving(&mut self) {
        let line = self.wait_for_line("listening");
        let address = line.rsplit("address=").next().unwrap().trim();
        self.address = address.parse().unwrap_or_else(|_| panic!("no address in '{line}'"));
        self.wait_for_line("serving");
    }

    /// The same, without waiting for anything.
    pub fn spawn(data: &Path, flags: &[&str]) -> Broker {
        let small = SMALL.iter().filter(|(flag, _)| !flags.contains(flag));
        let mut child = Command::new(env!("CARGO_BIN_EXE_flumen"))
            .args(["--data", data.to_str().unwrap()])
            .args(small.flat_map(|(flag, value)| [flag, value]))
            .args(flags)
            .env("NO_COLOR", "1")
            .env_remove("FLUMEN_CONFIG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::Builder::new()
            .name("broker log".to_owned())
            .spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            })
            .unwrap();
        Broker { child, address: ([127, 0, 0, 1], 0).into(), lines, data: data.to_owned() }
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal, by the name that `kill` knows.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill is there").success(), "kill -{signal}");
    }

    /// The next log line that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line with '{text}' came; there were:\n{}", seen.join("\n")),
            }
        }
    }

    /// What a command of the program prints about this broker's data directory.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_flumen"))
            .args(arguments)
            .args(["--data", self.data.to_str().unwrap()])
            .output()
            .expect("the program was built");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks the broker to stop, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Ends the broker as a power cut of the process would.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.wait();
        self.data.clone()
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            pause(Duration::from_millis(5));
        }
        panic!("the broker did not end within {PATIENCE:?}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let mut stderr = std::io::stderr();
            self.lines.iter().for_each(|line| drop(writeln!(stderr, "broker: {line}")));
        }
    }
}

/// Lets time pass for another process.
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}
