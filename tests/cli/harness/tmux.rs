//! A terminal that is a screen: tmux says what a person would see.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use super::{poll_until, require, scratch};

/// A server of its own with one window, in which a shell runs. Ended when it is dropped.
pub struct Screen {
    tmux: PathBuf,
    home: tempfile::TempDir,
}

impl Screen {
    /// A shell with the prompt `$ ` in so many columns, ten rows high, in [`Screen::home`]; `None` where there is no tmux.
    #[track_caller]
    pub fn open(columns: u16) -> Option<Screen> {
        let screen = Screen { tmux: require("tmux")?, home: scratch() };
        let columns = columns.to_string();
        let home = screen.home.path().to_str().unwrap();
        let shell = "exec env -u TMUX PS1='$ ' ENV= LC_ALL=C sh";
        screen.tell(&["-f", "/dev/null", "new-session", "-d", "-c", home, "-x", &columns, "-y", "10", shell]);
        screen.shows("a prompt", |lines| lines == ["$"]);
        Some(screen)
    }

    /// A directory for the test's own files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Presses keys, by tmux's names for them.
    #[track_caller]
    pub fn press(&self, key: &str) {
        self.tell(&["send-keys", key]);
    }

    /// Types a line and presses Enter.
    #[track_caller]
    pub fn enter(&self, line: &str) {
        self.tell(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    /// Changes the number of columns.
    #[track_caller]
    pub fn resize(&self, columns: u16) {
        self.tell(&["resize-window", "-x", &columns.to_string()]);
    }

    /// Waits until the lines on the screen are as wanted, and gives them, without the empty ones below.
    #[track_caller]
    pub fn shows(&self, what: &str, wanted: impl Fn(&[&str]) -> bool) -> Vec<String> {
        poll_until(what, || {
            let shown = self.tell(&["capture-pane", "-p"]);
            let lines: Vec<&str> = shown.trim_end().lines().map(str::trim_end).collect();
            wanted(&lines).then(|| lines.iter().map(ToString::to_string).collect())
        })
    }

    #[track_caller]
    fn tell(&self, words: &[&str]) -> String {
        let socket = self.home.path().join("tmux");
        let mut command = Command::new(&self.tmux);
        let done = command.arg("-S").arg(socket).args(words).env("TERM", "screen").env_remove("TMUX").output().unwrap();
        assert!(done.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if thread::panicking() {
            let socket = self.home.path().join("tmux");
            let shown = Command::new(&self.tmux).arg("-S").arg(socket).args(["capture-pane", "-p"]).output();
            let shown = shown.map(|shown| shown.stdout).unwrap_or_default();
            println!("---- the screen\n{}\n----", String::from_utf8_lossy(&shown).trim_end());
        }
        // it has gone already if the test made its shell exit
        let _ = Command::new(&self.tmux).arg("-S").arg(self.home.path().join("tmux")).arg("kill-server").output();
    }
}
