//! `xlvs check FILE`.

mod files;
mod json;
mod scripts;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};

use crate::{
    config::{self, Parsed, Severity},
    io::source::{self, Reading},
};

/// keepalived's exit code for a file that cannot be run.
pub(super) const UNUSABLE: u8 = 6;

/// What `xlvs check` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print what is in effect, every default written out, with a comment on where each value comes from. It is in
    /// keepalived's language and may be used in place of the file; passwords are in it.
    #[arg(long, conflicts_with = "format")]
    explain: bool,
    /// How problems are told: `text` on stderr for people, `json` as one document on stdout for programs.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The configuration file.
    file: PathBuf,
    #[command(flatten)]
    node: super::ConfigId,
    /// A file to be included that is not there, or cannot be read, is an error.
    #[arg(short = 'e', long)]
    all_config: bool,
}

impl Arguments {
    /// A plain test of a file.
    pub(super) const fn of(file: PathBuf, node: super::ConfigId, all_config: bool) -> Self {
        Self { explain: false, format: Format::Text, file, node, all_config }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// How the test comes out, in the order of what matters more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It cannot be run.
    Unusable,
    /// Scripts are run without `enable_script_security`, or it forbids one.
    Insecure,
    /// Something was corrected that keepalived corrects too, and says so.
    Corrected,
    Fine,
}

impl Verdict {
    fn of(parsed: &Parsed, is_secure: bool) -> Self {
        match parsed {
            parsed if parsed.config.is_none() => Self::Unusable,
            _ if !is_secure => Self::Insecure,
            parsed if parsed.is_corrected() => Self::Corrected,
            _ => Self::Fine,
        }
    }

    /// keepalived's exit codes where it has one.
    const fn code(self) -> u8 {
        match self {
            Self::Unusable => UNUSABLE,
            Self::Insecure => 5,
            Self::Corrected => 4,
            Self::Fine => 0,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let file = &arguments.file;
    let reading = Reading { id: arguments.node.get(), all_files: arguments.all_config };
    let mut parsed = match source::read(file, &reading) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = format!("{error:#}");
            match arguments.format {
                Format::Text => eprintln!("xlvs: {error}"),
                Format::Json => super::write_out(&json::unreadable(file, &error)?)?,
            }
            return Ok(ExitCode::from(Verdict::Unusable.code()));
        }
    };
    let found = scripts::look_at(&parsed);
    let unreadable = files::look_at(&parsed);
    parsed.add(found.problems.into_iter().chain(unreadable));
    let verdict = Verdict::of(&parsed, found.is_secure);
    match arguments.format {
        Format::Json => super::write_out(&json::document(file, &parsed, verdict)?)?,
        Format::Text => {
            eprint!("{}", config::render(&parsed));
            if verdict == Verdict::Unusable {
                let errors = parsed.count(Severity::Error);
                let plural = if errors == 1 { "" } else { "s" };
                eprintln!("xlvs: {}: it cannot be run: {errors} error{plural}", file.display());
            }
        }
    }
    if arguments.explain
        && let Some(text) = config::explain(&parsed)
    {
        super::write_out(&text)?;
    }
    Ok(ExitCode::from(verdict.code()))
}
