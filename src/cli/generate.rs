//! `haul --generate`: man pages and completion scripts, out of the same definitions that parse.
//!
//! Nothing here depends on the day or on the version, so that the files in the tree change only with the surface.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::value::Choice;
use super::{Cli, topics};
use crate::error::{Error, Op};

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The page of haul itself, or of one subcommand.
    Man(Option<&'static str>),
    /// A completion script.
    Complete(Shell),
}

/// The words that `--generate` takes.
pub(super) fn kinds() -> Choice<Kind> {
    Choice(&[
        ("man", Kind::Man(None), "haul(1)"),
        ("man-listen", Kind::Man(Some("listen")), "haul-listen(1)"),
        ("man-connect", Kind::Man(Some("connect")), "haul-connect(1)"),
        ("man-pipe", Kind::Man(Some("pipe")), "haul-pipe(1)"),
        ("man-send-udp", Kind::Man(Some("send-udp")), "haul-send-udp(1)"),
        ("man-relay", Kind::Man(Some("relay")), "haul-relay(1)"),
        ("man-bench", Kind::Man(Some("bench")), "haul-bench(1)"),
        ("complete-bash", Kind::Complete(Shell::Bash), ""),
        ("complete-zsh", Kind::Complete(Shell::Zsh), ""),
        ("complete-fish", Kind::Complete(Shell::Fish), ""),
        ("complete-powershell", Kind::Complete(Shell::PowerShell), ""),
    ])
}

/// The text of a generated file.
pub(super) fn print(kind: Kind) -> Result<String, Error> {
    let mut text = Vec::new();
    match kind {
        Kind::Man(None) => {
            page(Cli::command(), &mut text).map_err(|error| Error::new(Op::Write, "a man page", error))?
        }
        Kind::Man(Some(name)) => {
            let mut root = Cli::command();
            root.build();
            let command = root.find_subcommand(name).cloned().unwrap_or_default();
            page(command, &mut text).map_err(|error| Error::new(Op::Write, "a man page", error))?;
        }
        Kind::Complete(shell) => clap_complete::generate(shell, &mut Cli::command(), "haul", &mut text),
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// One man page: what clap knows, then the examples, and on haul's own page the topics.
fn page(command: Command, out: &mut Vec<u8>) -> std::io::Result<()> {
    let is_root = command.get_name() == "haul";
    let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let shown = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    let others: Vec<_> = shown.map(|subcommand| format!("haul-{}(1)", subcommand.get_name())).collect();
    let bare = command.version(None::<&str>).after_help(None::<&str>).after_long_help(None::<&str>);
    Man::new(bare).source("haul").manual("User Commands").render(out)?;

    let mut text = String::new();
    if is_root {
        for (_, title, topic) in topics::TOPICS {
            text += &section(title, topic);
        }
    }
    // the examples stand between the headings that the help gives them and the pointer to the topics
    let examples = examples.trim_start_matches("Examples:\n").split("\n\n").next().unwrap_or_default();
    text += &section("EXAMPLES", examples);
    text += &section("SEE ALSO", &if is_root { others.join(", ") } else { "haul(1), nc(1), socat(1)".to_string() });
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// A section whose lines are kept as they are.
fn section(title: &str, lines: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", [title]).control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    let text = roff.render();
    // the preamble that defines the apostrophe stands at the top of the page already
    text.find(".SH").map_or(String::new(), |start| text[start..].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_gives_a_file_without_date_or_version() {
        for (word, kind, _) in kinds().0 {
            let text = print(*kind).unwrap();
            assert!(text.len() > 500, "{word}");
            assert!(!text.contains(env!("CARGO_PKG_VERSION")), "{word}");
            assert!(text.contains("haul"), "{word}");
        }
    }

    #[test]
    fn the_main_page_holds_every_topic() {
        let page = print(Kind::Man(None)).unwrap();
        for (_, title, _) in topics::TOPICS {
            assert!(page.contains(&format!(".SH \"{title}\"")) || page.contains(&format!(".SH {title}")), "{title}");
        }
        assert_eq!(page.matches(".SH EXAMPLES").count(), 1);
    }

    #[test]
    fn every_subcommand_has_a_page() {
        for subcommand in Cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
            let word = format!("man-{}", subcommand.get_name());
            assert!(kinds().0.iter().any(|(kind, ..)| *kind == word), "{word}");
        }
    }
}
