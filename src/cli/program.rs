//! What stands at the near side of a connection: a program instead of standard input and output, and copies of what
//! passes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::ValueHint;

use super::value::{self, Value, fault};
use crate::error::{Error, Op};
use crate::plan::address::{BadAddress, Program};
use crate::plan::{Copy, Local, advice};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Programs")]
pub(super) struct Programs {
    /// Join each connection to this program, split into words as a shell would, but run without one.
    #[arg(short = 'e', value_name = "CMD", value_parser = Value(words), value_hint = ValueHint::CommandString)]
    exec: Option<Program>,

    /// Join each connection to this command of the shell (sh -c).
    #[arg(short = 'c', value_name = "CMD", value_parser = Value(shell), value_hint = ValueHint::CommandString)]
    shell: Option<Program>,
}

impl Programs {
    /// The near side; `trailing` is what stood behind `--`.
    pub(super) fn local(self, trailing: Option<Program>) -> Result<Local, Error> {
        let given = [(self.exec, "-e"), (self.shell, "-c"), (trailing, "-- CMD")];
        let mut given = given.into_iter().filter_map(|(program, flag)| program.map(|program| (program, flag)));
        match (given.next(), given.next()) {
            (None, _) => Ok(Local::Stdio),
            (Some((program, _)), None) => Ok(Local::Program(program)),
            (Some((_, a)), Some((_, b))) => Err(advice::clash(a, b, "one program serves a connection", "one of them")),
        }
    }
}

/// The program behind `--`, of which `words` are what follows; nothing behind it is none.
pub(super) fn trailing(words: &[OsString]) -> Result<Option<Program>, Error> {
    match words.first() {
        None => Ok(None),
        Some(first) if first.is_empty() => {
            Err(Error::said(Op::Parse, "the program behind '--'", "its name is empty").with_advice("-- CMD [ARG]…"))
        }
        Some(_) => Ok(Some(Program::Words(words.to_vec()))),
    }
}

fn words(text: &OsStr) -> Result<Program, BadAddress> {
    let unclosed = || fault("a quote is not closed, or a backslash stands at the end");
    let words = shlex::bytes::split(text.as_bytes()).ok_or_else(unclosed)?;
    match words.first() {
        Some(first) if !first.is_empty() => Ok(Program::Words(words.into_iter().map(OsString::from_vec).collect())),
        _ => Err(fault("the program is missing")),
    }
}

fn shell(text: &OsStr) -> Result<Program, BadAddress> {
    if text.as_bytes().trim_ascii().is_empty() {
        return Err(fault("the text for the shell is missing"));
    }
    Ok(Program::Shell(text.to_os_string()))
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Copies and changes")]
pub(super) struct Copies {
    /// Send a line feed as a carriage return and a line feed.
    #[arg(short = 'C')]
    pub(super) crlf: bool,

    /// Write a copy of what is received to FILE; with --hex, of both directions [default: to none]
    #[arg(short = 'o', value_name = "FILE", value_parser = value::file(), value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Write the copy as a hexadecimal dump, received lines marked < and sent ones >.
    #[arg(long)]
    hex: bool,

    /// Begin each line of the dump with the time.
    #[arg(long)]
    timestamps: bool,

    /// Write what is received to FILE instead of standard output, whole or not at all; standard input is left alone
    ///
    /// It is written beside FILE under another name, synced to the disk, and renamed when everything is there. Whatever
    /// interrupts that leaves FILE as it was.
    #[arg(long, value_name = "FILE", value_parser = value::file(), value_hint = ValueHint::FilePath)]
    pub(super) out: Option<PathBuf>,
}

impl Copies {
    /// The copy that `-o` asks for.
    pub(super) fn copy(self) -> Result<Option<Copy>, Error> {
        if self.hex && self.output.is_none() {
            return Err(advice::lonely("--hex", "-o", "the dump needs a file to go to", "-o FILE --hex"));
        }
        if self.timestamps && !self.hex {
            let why = "the time stands in front of the lines of a dump";
            return Err(advice::lonely("--timestamps", "--hex", why, "-o FILE --hex --timestamps"));
        }
        Ok(self.output.map(|path| Copy { path, hex: self.hex, timestamps: self.timestamps }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<String>, String> {
        match words(OsStr::new(text)) {
            Ok(Program::Words(words)) => Ok(words.into_iter().map(|word| word.into_string().unwrap()).collect()),
            Ok(Program::Shell(_)) => panic!("{text}"),
            Err(bad) => Err(bad.cause),
        }
    }

    #[test]
    fn a_command_is_split_as_a_shell_would_and_nothing_else_is_done_to_it() {
        for (text, expected) in [
            ("cat", &["cat"][..]),
            ("  tr a-z  A-Z ", &["tr", "a-z", "A-Z"]),
            ("sh -c 'echo \"$HOME\" | wc'", &["sh", "-c", "echo \"$HOME\" | wc"]),
            (r#"printf "a b\n" c\ d"#, &["printf", r"a b\n", "c d"]),
            ("echo $HOME * | wc > f", &["echo", "$HOME", "*", "|", "wc", ">", "f"]),
            ("prog ''", &["prog", ""]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_command_that_splits_badly_is_refused() {
        let unclosed = "a quote is not closed, or a backslash stands at the end";
        for (text, cause) in [
            ("echo 'a", unclosed),
            ("echo \"a", unclosed),
            ("echo a\\", unclosed),
            ("", "the program is missing"),
            ("  ", "the program is missing"),
            ("''", "the program is missing"),
        ] {
            assert_eq!(split(text).unwrap_err(), cause, "{text}");
        }
        assert!(shell(OsStr::new(" \n")).is_err());
    }
}
