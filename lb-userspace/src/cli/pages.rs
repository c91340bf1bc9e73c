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
    fn every_shell_has_its_script_and_knows_every_command() {
        let command = Cli::command();
        let commands = || command.get_subcommands().filter(|command| !command.is_hide_set());
        assert!(commands().count() > 10);
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "xlvs", &mut script);
            let script = String::from_utf8(script).expect("text");
            for command in commands() {
                // Only where the command is completed are its own words told.
                let about = command.get_about().expect("each is told").to_string();
                let told = if shell == Shell::Bash { format!("xlvs,{})", command.get_name()) } else { about };
                let told = told.split(['\'', '`', ':', '[']).next().unwrap_or_default();
                assert!(script.contains(told), "{told} for {shell}");
            }
        }
    }
}
