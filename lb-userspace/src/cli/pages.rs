//! What is made of the command line's definition besides its help: completions and manual pages.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

const VERSION: &str = concat!("xlvs ", env!("CARGO_PKG_VERSION"));

/// What `xlvs completions` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(arguments: &Arguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "xlvs", &mut script);
    super::write_out(&String::from_utf8_lossy(&script))
}

/// The manual pages of xlvs and of each of its commands, by the names of their files.
///
/// # Errors
/// None: they are written to memory.
pub fn manual() -> std::io::Result<Vec<(String, String)>> {
    let mut xlvs = Cli::command();
    xlvs.build();
    let commands = xlvs.get_subcommands().filter(|command| !command.is_hide_set());
    let pages = std::iter::once(&xlvs).chain(commands).map(|command| {
        let man = Man::new(command.clone()).section("8").source(VERSION).manual("xlvs");
        let mut page = Vec::new();
        man.render(&mut page)?;
        Ok((man.get_filename(), String::from_utf8_lossy(&page).into_owned()))
    });
    pages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "xlvs", &mut script);
            let script = String::from_utf8(script).expect("text");
            let command = Cli::command();
            for name in command
                .get_subcommands()
                .filter(|command| !command.is_hide_set())
                .map(clap::Command::get_name)
            {
                // Each has more than its name in a text: the words of its own options.
                assert!(script.matches(name).count() > 1, "{name} for {shell}");
            }
        }
    }
}
