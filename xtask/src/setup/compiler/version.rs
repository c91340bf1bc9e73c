//! What a compiler says of itself with `rustc -vV`.

use std::ops::RangeInclusive;

/// The LLVM versions that bpf-linker can be built for.
const LLVM: RangeInclusive<u32> = 21..=23;

/// The version of a compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// As it is printed, such as `1.97.0-nightly`.
    pub(crate) release: String,
    /// Whether it allows unstable features by itself.
    pub(crate) nightly: bool,
    /// The major version of its LLVM.
    pub(crate) llvm: u32,
}

impl Version {
    /// Reads the output of `rustc -vV`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let release = field("release")?;
        let llvm = field("LLVM version")?.split('.').next()?.parse().ok()?;
        Some(Self { release: release.to_owned(), nightly: release.contains("-nightly"), llvm })
    }

    /// Whether the workspace builds with it and bpf-linker can read what it writes.
    pub(super) fn is_fit(&self) -> bool {
        let wanted = major_minor(env!("CARGO_PKG_RUST_VERSION"));
        major_minor(&self.release) >= wanted && LLVM.contains(&self.llvm)
    }
}

fn major_minor(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(release: &str, llvm: &str) -> Option<Version> {
        Version::parse(&format!(
            "rustc {release} (e50aa6fba 2026-05-19)\nbinary: rustc\nrelease: {release}\nLLVM version: {llvm}\n"
        ))
    }

    #[test]
    fn a_nightly_is_read() {
        let expected = Version { release: "1.97.0-nightly".into(), nightly: true, llvm: 22 };
        assert_eq!(told("1.97.0-nightly", "22.1.4"), Some(expected));
    }

    #[test]
    fn fitness_is_the_release_and_the_llvm() {
        assert!(told("1.95.0", "22.1.2").unwrap().is_fit());
        assert!(!told("1.95.0", "22.1.2").unwrap().nightly);
        assert!(!told("1.94.1", "21.1.8").unwrap().is_fit());
        assert!(!told("1.99.0-nightly", "24.0.0").unwrap().is_fit());
        assert!(told("2.0.0", "23.1.0").unwrap().is_fit());
    }

    #[test]
    fn something_else_is_no_compiler() {
        assert_eq!(Version::parse(""), None);
        assert_eq!(Version::parse("release: 1.97.0\n"), None);
    }
}
